"""Resolverd and control of one generation: the gate before them, and how they give way.

              told to retire              says RETIRED            has ended
    SERVING -----------------> RETIRING ----------------> FINISHING -------> GONE
       ^                          |  |                      |  |              ^
       |        called off        |  +------ limit: killed -+--|--------------+
       +--------------------------+----------------------------+

Resolverd is killed: its successor carries on from the segment. Control retires: once it says
RETIRED it orders nothing any more, so its records may be copied while it sends the answers that it
owes. Knows nothing of what a reload does meanwhile.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from proxy.runtime import Runtime, ring
from proxy.supervisor.children import Child, Children
from proxy.supervisor.limits import FINISH_LIMIT_MS, RETIRE_LIMIT_MS, SERVICES_END_LIMIT_MS
from shm.log_level import LogLevel
from shm.processes import ProcessBoard
from shm.states import ProcessCommand, ProcessState


class Services:
    """The two of them; every method is called from the supervisor's loop."""

    def __init__(self, runtime: Runtime, children: Children, board: ProcessBoard) -> None:
        """They are told nothing yet."""
        self._all = children.services
        self._control = children.control
        self._resolverd = children.resolverd
        self._runtime = runtime
        self._board = board
        self._kill_ms: int | None = None  # when a control that gives way has to be gone
        self._killed_ms = 0  # the last kill of one that gives way
        self._finishing = False

    @property
    def loaded(self) -> bool:
        """They wait at the gate."""
        states = [self._board.status(child.position).state for child in self._all]
        return all(state in (ProcessState.WAITING, ProcessState.READY) for state in states)

    @property
    def hopeless(self) -> bool:
        """One dies before it is ready, each time: a start does without, a reload keeps the old."""
        return any(child.watch.hopeless for child in self._all)

    @property
    def silent(self) -> bool:
        """Neither writes a record any more."""
        gone = self._control.process is None
        return self._resolverd.process is None and (gone or self._retired)

    def undead(self, now_ms: int) -> bool:
        """One that gives way is there long after it was killed: something holds it.

        Counted from the kill: a supervisor that had no turn has killed late, too.
        """
        return not self.silent and now_ms >= self._killed_ms + SERVICES_END_LIMIT_MS

    @property
    def finishing(self) -> bool:
        """Control has given way and still sends answers."""
        return self._kill_ms is not None and self._control.process is not None

    @property
    def _retired(self) -> bool:
        return self._board.status(self._control.position).state == ProcessState.RETIRED

    def wait(self) -> None:
        """They load, and wait at the gate until `open_gate`."""
        self._command(ProcessCommand.WAIT, self._all)

    def open_gate(self) -> None:
        """They may serve: the records of their predecessors are here."""
        self._command(ProcessCommand.RUN, self._all)

    def give_way(self, now_ms: int) -> None:
        """A successor is about to speak for them; `turn` sees to the limits."""
        for child in self._all:
            child.watch.retire()
        self._finishing = False
        self._kill_ms = now_ms + RETIRE_LIMIT_MS
        self._killed_ms = now_ms
        serves = self._board.status(self._control.position).state == ProcessState.READY
        self._control.expected.add(0)
        self._command(ProcessCommand.RETIRE, (self._control,))
        self._resolverd.end(signal.SIGKILL)
        if not serves:  # it owes no answer
            self._control.end(signal.SIGKILL)

    def turn(self, now_ms: int) -> None:
        """Everything that time brings."""
        if self._kill_ms is None or self._control.process is None:
            return
        if not self._finishing and self._retired:
            self._finishing = True
            self._kill_ms = now_ms + FINISH_LIMIT_MS
        if now_ms >= self._kill_ms:
            pid = self._control.process.pid
            what = "has sent its last answers" if self._finishing else "retires"
            limit = FINISH_LIMIT_MS if self._finishing else RETIRE_LIMIT_MS
            text = f"ending old control ({pid}): {limit} ms are over before it {what}"
            self._runtime.log(LogLevel.WARNING, text)
            self._control.end(signal.SIGKILL)
            self._kill_ms = now_ms + FINISH_LIMIT_MS
            self._killed_ms = now_ms

    def revive(self, now_ms: int) -> None:
        """No successor came: what has ended is replaced, a control that retires serves again."""
        self._kill_ms = None
        for child in self._all:
            child.watch.revive(now_ms)
        self._command(ProcessCommand.RUN, (self._control,))

    def end(self, number: signal.Signals, but: Child | None = None) -> None:
        """Signal both, or the other one than `but`."""
        for child in self._all:
            if child is not but:
                child.end(number)

    def _command(self, command: ProcessCommand, children: Iterable[Child]) -> None:
        for child in children:
            self._board.command(child.position, command)
        ring((self._runtime.bells.resolverd, self._runtime.bells.control))
