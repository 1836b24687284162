"""Orders of the stats socket about lists: acls and maps."""
