"""Lines about stick tables."""
