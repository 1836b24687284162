"""Samples of a connection and of the internal states that rules look at beside it."""
