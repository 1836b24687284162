"""Rules of connections: compiled from the settings, and judged. What follows is for the session."""
