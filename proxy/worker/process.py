"""The worker process: a relay thread that forwards, and an event loop that watches over it.

Owns the life of one worker from fork to exit. Must not resolve, parse configuration, nor touch
a client's bytes: the relay thread does the forwarding and never takes the GIL, the checker keeps
health records, and this file only turns changes in the segment into calls to both.

    fork -> STARTING -> schedules built, relay thread runs -> READY -> command word -> STOPPING
         -> relay joined -> os._exit(0)

Whatever is not foreseen here (an exception in a callback, a relay that ends unasked) ends the
process with status 1: the supervisor has a fresh one in milliseconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

import uvloop

from proxy.config.model.settings import Proxy, Server
from proxy.health.checker import Checker
from proxy.health.part import has_part
from proxy.lists.changing.expressions import compile_added
from proxy.relay.engine import Relay
from proxy.runtime import Runtime, now_ms
from proxy.worker.following import Following
from proxy.worker.joining import Joining
from proxy.worker.shortages import Shortages
from shm.counters import CounterReader
from shm.locks import HEALTH_WRITER, take_role
from shm.log_level import LogLevel
from shm.processes import ProcessSelf
from shm.states import ProcessCommand, ProcessState

TICK_SECONDS = 0.7  # heartbeat and look around; the supervisor calls 4 missed ones stale
READY_POLL_SECONDS = 0.001  # while the relay thread starts: a killed worker is missed meanwhile
TABLE_DESCRIPTORS_MAX = 32_768  # that have room from the start: 260 KiB of the kernel's memory


class RelayThread(Protocol):
    """What the worker needs of a relay."""

    @property
    def running(self) -> bool:
        """Whether it accepts clients."""

    def run(self) -> None:
        """Forward until the command word ends it."""

    def rebuild(self, backend: int) -> None:
        """Build a backend's schedule again and swap it in."""

    def add(self, server: Server) -> None:
        """Take up a server that was added."""

    def rename(self, server: Server) -> None:
        """Take up a server's new name."""

    def name_backend(self, proxy: Proxy) -> None:
        """A spare backend has got a name."""

    def empty_backend(self, backend: int) -> bool:
        """Forget what was counted of one; False while a session is there."""

    def remove(self, slot: int) -> None:
        """Forget the name of one that was deleted."""

    def empty(self, slot: int) -> bool:
        """Forget its counts; False while a session is there."""


def run(runtime: Runtime, worker: int) -> NoReturn:
    """Be worker number `worker` until told to stop; never returns.

    Raises SecondWriterError while a former worker of this number still lives.
    """
    _grow_table(runtime.segment.fd)
    take_role(runtime.segment.fd, HEALTH_WRITER + worker)
    status = 1
    try:
        status = Worker(runtime, worker, Relay).serve()
    except Exception:
        runtime.log(LogLevel.CRIT, f"worker {worker} failed: {traceback.format_exc()}")
    os._exit(status)


def _grow_table(descriptor: int) -> None:
    """Let the kernel make its table of descriptors as large as it may become, by a copy of one.

    Once threads share the table, each growth of it (at 64 descriptors, at twice as many, and so on)
    waits for a grace period of RCU: no client would be served for 5 to 10 ms.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    highest = min(limit, TABLE_DESCRIPTORS_MAX) - 1
    with suppress(OSError):  # no memory: the table grows when it has to
        os.close(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, highest))


class Worker:
    """One worker's main thread; the relay that `make_relay` makes runs in a thread of its own.

    A relay builds every schedule when it is made, a checker looks at every server; whatever
    changes meanwhile is done again at the first look.
    """

    def __init__(
        self, runtime: Runtime, worker: int, make_relay: Callable[[Runtime, int], RelayThread]
    ) -> None:
        self._runtime = runtime
        self._number = worker
        self._bell = runtime.bells.workers[worker]
        self._self = ProcessSelf(runtime.segment, worker)
        self._self.state(ProcessState.STARTING)
        self._lists = runtime.lists
        self._reader = 2 * worker + 1  # of lists: checks look up in maps
        if self._lists is not None:
            self._lists.join(self._reader)
        self._joining = Joining(runtime, worker, self._self)
        self._schedules = Following(runtime.segment)
        self._relay = make_relay(runtime, worker)
        self._joining.begin(self._relay)
        self._shortages = Shortages(CounterReader(runtime.segment), worker, runtime.log)
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._fail)
        self._checker: Checker | None = None  # until clients are accepted; after the stop; unused
        self._thread = threading.Thread(target=self._forward, name="relay", daemon=True)
        self._ended = False  # the relay thread left its loop
        self._stopping = False
        self._status = 1

    def serve(self) -> int:
        """Run until the relay ended; the exit status of the process."""
        self._start_relay()
        self._loop.add_reader(self._bell, self._rung)
        self._await_relay()
        self._loop.call_soon(self._tick)
        self._loop.run_forever()
        if self._ended:
            self._thread.join()
        return self._status

    def _start_relay(self) -> None:
        """Start the thread with every signal blocked, so that the main thread gets them all."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _forward(self) -> None:
        """The relay thread."""
        try:
            self._relay.run()
        finally:
            self._ended = True
            os.eventfd_write(self._bell, 1)

    def _await_relay(self) -> None:
        """Say READY once clients are accepted, and only then look at each server to check.

        Clients wait for the relay; what is known of health is in the segment already.
        """
        if self._ended or self._stopping:
            return
        if not self._relay.running:
            self._loop.call_later(READY_POLL_SECONDS, self._await_relay)
            return
        self._self.beat(now_ms())
        self._self.state(ProcessState.READY)
        if self._checker is None and has_part(self._runtime, self._number):
            self._check()

    def _check(self) -> None:
        """Begin to check; a worker that has no server for it does without the memory."""
        self._joining.wants_checks = False
        self._checker = Checker(self._runtime, self._number, self._loop)
        self._checker.start()

    def _tick(self) -> None:
        """Beat, and look for what a lost ring would have told."""
        self._self.beat(now_ms())
        self._shortages.look(now_ms())
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._act()

    def _rung(self) -> None:
        """The bell was rung: something was published."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        self._act()

    def _act(self) -> None:
        """Do what the command word and the table say."""
        if self._lists is not None:
            for told in compile_added(self._lists):
                self._runtime.log(LogLevel.WARNING, f"worker {self._number}: {told}")
            self._lists.look(self._reader)
        if self._self.command != ProcessCommand.RUN and not self._stopping:
            self._stopping = True
            self._self.state(ProcessState.STOPPING)
            if self._checker is not None:
                self._checker.stop()
                self._checker = None
        if self._ended:
            self._end()
        else:
            self._look()

    def _end(self) -> None:
        """The relay is done: as told, or for a reason that is a fault."""
        if self._stopping:
            self._status = 0
        else:
            self._runtime.log(LogLevel.CRIT, f"the relay of worker {self._number} ended unasked")
        self._loop.stop()

    def _look(self) -> None:
        """Bring schedules and checks in line with every backend that changed."""
        self._joining.look(self._checker)
        if self._joining.wants_checks and self._relay.running and not self._stopping:
            self._check()
        self._schedules.catch_up(self._relay.rebuild)
        if self._checker is not None:
            self._checker.look()

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback raised: nothing that follows can be trusted."""
        error = context.get("exception")
        told = (
            "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        )
        text = f"worker {self._number} failed: {context.get('message')}\n{told}"
        self._runtime.log(LogLevel.CRIT, text)
        self._status = 1
        loop.stop()
