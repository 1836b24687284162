"""The words of server lines."""
