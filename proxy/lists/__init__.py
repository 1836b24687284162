"""Lists of patterns: packed when the configuration is read, looked up in by all processes."""
