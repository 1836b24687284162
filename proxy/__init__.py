"""Everything TCP, and the program itself: configuration, relay, checks, supervisor, control."""
