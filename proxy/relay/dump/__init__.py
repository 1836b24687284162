"""Sessions as control asks for them: shown, or ended by an operator."""
