"""What the kernel says of its sockets, and of what it refuses. Asks, changes nothing."""
