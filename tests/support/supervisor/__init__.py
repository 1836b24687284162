"""The program from the side of its supervisor."""
