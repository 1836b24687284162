"""The whole program with its sites."""
