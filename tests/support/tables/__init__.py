"""Stick tables in tests."""
