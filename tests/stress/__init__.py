"""Tests under stress."""
