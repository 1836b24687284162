"""One worker process: its relay thread, its share of the health checks, its heartbeat."""
