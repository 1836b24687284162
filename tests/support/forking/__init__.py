"""Python programs that tests start often: forked from a process that has imported what they need."""
