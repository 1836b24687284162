"""The demo: a small world on loopback addresses, and Millrace in front of it."""
