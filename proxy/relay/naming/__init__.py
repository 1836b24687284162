"""Which server a session is sent to before it is balanced, and what it is hashed by."""
