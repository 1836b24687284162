"""What is wrong now, how it came about, and what the last quarter of an hour was like."""
