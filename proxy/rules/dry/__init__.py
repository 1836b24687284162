"""Conditions judged for clients that are only told of: what nothing is known of is left open."""
