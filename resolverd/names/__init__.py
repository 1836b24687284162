"""The names that are resolved, and the slots that their answers change."""
