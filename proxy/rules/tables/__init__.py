"""Stick tables, as expressions ask them."""
