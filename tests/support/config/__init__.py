"""Configurations of tests."""
