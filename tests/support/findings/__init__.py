"""What users of other programs ran into, as sites."""
