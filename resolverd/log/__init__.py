"""The lines of resolverd's log, and their limit in a minute."""
