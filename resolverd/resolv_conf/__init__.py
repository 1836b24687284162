"""The file that `parse-resolv-conf` names: read, watched, followed."""
