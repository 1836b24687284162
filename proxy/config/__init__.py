"""haproxy.cfg to checked, immutable settings; every error carries file and line."""
