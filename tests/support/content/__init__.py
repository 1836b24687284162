"""First bytes of clients, and what HAProxy finds in them."""
