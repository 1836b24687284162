"""Prometheus metrics: families, tables of names, scrapes."""
