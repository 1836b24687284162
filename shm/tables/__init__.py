"""Stick tables: what is counted or remembered of keys, for all workers of all generations."""
