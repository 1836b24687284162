"""The records of each name: its history, and its row in the segment."""
