"""Stick tables at a session: keys made of samples, and the server that an entry names."""
