"""Lines that change a session without deciding about it."""
