"""Which build of the program runs, and which one is installed."""
