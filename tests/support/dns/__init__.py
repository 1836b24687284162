"""Nameservers, real and scripted, and resolverd alone."""
