"""What the program was loaded from, what was ordered since, and how the files differ from it."""
