"""The flags and commands of `millrace`: one table, and the texts that are made of it."""
