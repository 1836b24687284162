"""What checks say to servers and expect of them; without input and output."""
