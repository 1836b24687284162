"""The resolv.conf of `parse-resolv-conf`: read, watched, followed."""
