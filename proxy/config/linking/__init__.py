"""From sections with references by name to settings, and what only the whole file can tell."""
