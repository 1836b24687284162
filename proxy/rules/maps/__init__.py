"""Which pattern of a list a sample has, and what a map gives for it."""
