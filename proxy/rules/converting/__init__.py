"""Converters by families: texts, bytes, digests, protocols."""
