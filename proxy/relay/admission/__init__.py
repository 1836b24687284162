"""Which clients are accepted: places, rates, and whose turn it is."""
