"""When a name is asked next, how many runs there may be at a time, and how long they take."""
