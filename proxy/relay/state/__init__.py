"""What a relay thread has in memory: system calls, types, pools, timers, places, counts."""
