"""From sections with references by name to settings, and the checks that need all sections."""
