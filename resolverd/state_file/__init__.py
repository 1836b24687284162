"""The servers' last known state: its format, read and written."""
