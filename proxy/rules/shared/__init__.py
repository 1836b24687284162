"""Variables of the program, for those that set and show them by their names."""
