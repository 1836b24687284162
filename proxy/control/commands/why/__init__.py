"""`show why`: the chain of causes behind a server, a backend, a frontend, or all that take none."""
