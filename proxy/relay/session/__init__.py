"""One session from its first byte to its end."""
