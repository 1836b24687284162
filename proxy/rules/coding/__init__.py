"""Codings and hashes of bytes: pure functions of bytes to bytes or numbers."""
