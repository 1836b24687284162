"""The segment: records and atomics that all processes share. Knows no DNS and no TCP."""
