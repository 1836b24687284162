"""Servers that come and go at run time, and what the segment stores of each."""
