"""The sessions of the workers: shown, and ended by an operator."""
