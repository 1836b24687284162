"""Samples of the first bytes of a client or a server: pure functions of bytes, compiled."""
