"""Everything TCP, and the program itself: configuration, relay, checks, supervisor, control."""

__version__ = "0.1.0"  # pyproject.toml takes it from here
