"""The gate at which resolverd and control of a reload wait until their predecessors have ended.

They have loaded everything before. After the gate they are the writers of their records, and read
all that the predecessors have written.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from shm.processes import ProcessSelf
from shm.states import ProcessCommand, ProcessState

LOOK_MS = 100  # the most that a lost ring costs; the heartbeat is due each second


def wait_at_gate(process: ProcessSelf, bell: int) -> None:
    """Set the state WAITING, and return when the supervisor's command is no longer WAIT."""
    if process.command != ProcessCommand.WAIT:
        return
    process.state(ProcessState.WAITING)
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    while process.command == ProcessCommand.WAIT:
        process.beat(time.monotonic_ns() // 1_000_000)
        if poll.poll(LOOK_MS):
            with suppress(BlockingIOError):
                os.eventfd_read(bell)
