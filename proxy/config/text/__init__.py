"""From files to words, and the forms of words."""
