"""The status page: what is wrong first; no script, all of its state in the address."""
