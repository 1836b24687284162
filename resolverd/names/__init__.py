"""The names that are resolved, and what their answers do to servers' slots."""
