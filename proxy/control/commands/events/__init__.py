"""What changed: the last events of the program, and by whom orders were given."""
