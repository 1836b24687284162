"""Random histories of names, and the judge of what resolverd makes of them."""
