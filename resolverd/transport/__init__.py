"""Questions and replies over UDP and TCP: sockets, query ids, attempts in flight."""
