"""Commands that tell what rules of connections do."""
