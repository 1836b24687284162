"""Whole messages of protocols, and what Millrace's converters say of them."""
