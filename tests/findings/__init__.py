"""Tests of what users of other programs ran into."""
