"""`show threads`: what each thread of each process does, and what it has cost the processors.

A star marks the process that answers, a right angle bracket one whose heartbeat is late (management
manual 9.3): the supervisor is about to replace it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from proxy.control.command import Answer, Command, Level
from proxy.control.commands.process.census import Census, LivingProcess
from proxy.control.limits import READY_BEAT_MS
from proxy.kernel.processes import ThreadUse, hiding_reason, processor_ns, threads
from proxy.runtime import now_ms
from shm.states import ProcessState

SUPERVISOR = "no heartbeat: 'millrace ping' asks it"


class ShowThreads:
    """One command; remembers what it told last."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._told: dict[int, int] = {}  # processor time by thread, when it was asked for last
        self._told_ns = 0

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "threads of all processes: processor time, heartbeats"
        return [Command(("show", "threads"), "", text, Level.USER, self.show)]

    def show(self, _words: list[str], _level: Level) -> Answer:
        """`show threads`."""
        now_ns = time.monotonic_ns()
        told, self._told = self._told, {}
        span_ms, self._told_ns = (now_ns - self._told_ns) // 1_000_000, now_ns
        if told:
            yield f"# diff: over the {span_ms} ms since this was asked last\n"
        number = 0
        for process in self._census.processes():
            yield f"{self._head(process)} : {standing(process, now_ms())}\n"
            found: list[ThreadUse] = []
            try:
                found = threads(process.pid)
            except OSError as error:
                yield from self._unseen(process, error)
            for place, thread in enumerate(found, 1):
                number += 1
                self._told[thread.thread] = thread.cpu_ns
                head = f"Thread {number:<3}: id={thread.thread} {place}/{len(found)}"
                yield f"  {head} {use(thread, told)}\n"

    @staticmethod
    def _unseen(process: LivingProcess, error: OSError) -> Iterator[str]:
        """What is known without its threads: what they cost together."""
        with suppress(OSError):
            yield f"  all threads : cpu_ns: now={processor_ns(process.pid)}\n"
        yield f"  threads: {hiding_reason(error, process.pid)}\n"

    def _head(self, process: LivingProcess) -> str:
        own = process.pid == self._census.own_pid
        mark = "*" if own else ">" if is_late(process, now_ms()) else " "
        return f"{mark} {process.named}"


def beats(process: LivingProcess, at_ms: int) -> Iterator[tuple[str, int]]:
    """How old each heartbeat of a process is, milliseconds."""
    status = process.status
    if status is None:
        return
    for name, beat_ms in (("main", status.main_beat_ms), ("relay", status.relay_beat_ms)):
        if beat_ms:
            yield name, max(0, at_ms - beat_ms)


def is_late(process: LivingProcess, at_ms: int) -> bool:
    """Whether a heartbeat should have come by now."""
    return any(age_ms > READY_BEAT_MS for _, age_ms in beats(process, at_ms))


def standing(process: LivingProcess, at_ms: int) -> str:
    """State, heartbeats and how often it was started again."""
    status = process.status
    if status is None:
        return SUPERVISOR
    ages = "".join(f" {name}_beat={age_ms}ms" for name, age_ms in beats(process, at_ms))
    state = ProcessState(status.state).name.lower()
    return f"{state}{ages} restarts={status.restarts}"


def use(thread: ThreadUse, told: dict[int, int]) -> str:
    """What a thread does and has cost; `told`: processor time by thread, of the last time."""
    former = told.get(thread.thread)
    diff = "" if former is None else f" diff={thread.cpu_ns - former}"
    return (
        f"{thread.state} cpu={thread.processor} cpu_ns: now={thread.cpu_ns}{diff} "
        f"waited={thread.waited_ns}"
    )
