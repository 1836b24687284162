"""From files to words, and the forms that words have."""
