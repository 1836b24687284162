"""What the words of a line do: the table of words, and what several sections share."""
