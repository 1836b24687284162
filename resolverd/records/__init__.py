"""What is kept of each name: its history, and the record in shared memory."""
