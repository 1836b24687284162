"""What moves bytes of one side of a session: system calls, copies, splices. Knows no session."""
