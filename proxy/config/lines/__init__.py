"""The effects of words: the table of words, and the handlers that several sections share."""
