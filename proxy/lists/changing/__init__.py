"""Lists that change while the program runs: in memory that all processes share."""
