"""The master CLI: its process, its commands, and conversations with the generations."""
