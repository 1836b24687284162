"""The access log: formats compiled at load, lines written in C."""
