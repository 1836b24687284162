"""Orders of the stats socket about stick tables."""
