"""Which address a server gets from an answer. Pure."""
