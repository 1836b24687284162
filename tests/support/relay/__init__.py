"""A relay with its clients and servers, without the rest of the program."""
