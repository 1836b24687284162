"""Servers that are added and deleted while the program runs."""
