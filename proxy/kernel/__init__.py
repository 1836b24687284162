"""What the kernel says of its sockets and of what it refuses, and calls that need care."""
