"""The stats socket, metrics and dashboard of one generation; the only writer of admin records."""
