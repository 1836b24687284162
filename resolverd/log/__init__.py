"""The lines of resolverd's log, and how often each may be written."""
