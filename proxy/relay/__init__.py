"""The compiled data plane: accepts clients, picks servers, forwards bytes, counts and times out."""
