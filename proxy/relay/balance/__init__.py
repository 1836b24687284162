"""Which server a session gets, and the queues in which it waits for one."""
