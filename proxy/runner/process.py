"""The runner process: checks that are programs, on an event loop; its heartbeat, its guard.

Owns the life of the runner from fork to exit. There is one where some server is checked by a
program, for all of these and their agents: it is the only writer of their health. What it leaves
when it dies, at whatever instruction, the supervisor ends (proxy/runner/session.py), before a
successor carries on from the records.

    fork -> a session of its own -> the guard -> rights given up -> READY -> STOP -> os._exit(0)

Whatever is not foreseen here ends the process with status 1: the supervisor has another in
milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import traceback
from contextlib import suppress
from typing import NoReturn

import uvloop

from proxy.config.model.checks import ProgramRights
from proxy.health.checker import PartChecker
from proxy.health.part import Part
from proxy.health.share import programs_share
from proxy.runner.guard import start_guard
from proxy.runner.programs import PROGRAMS_MAX, Programs, told_of
from proxy.runtime import Runtime, now_ms
from proxy.terminal import STANDARD_INPUT
from shm.locks import PROGRAM_HEALTH_WRITER, take_role
from shm.log_level import LogLevel
from shm.processes import ProcessSelf
from shm.slots import SlotTableReader
from shm.states import ProcessCommand, ProcessState

TICK_SECONDS = 0.7  # heartbeat and look around; the supervisor calls 4 missed ones stale
AGENTS_MAX = 256  # asked at once
PR_SET_NO_NEW_PRIVS = 38  # prctl(2)

_libc = ctypes.CDLL(None, use_errno=True)


def run(runtime: Runtime) -> NoReturn:
    """Be the runner until told to stop; never returns.

    Raises SecondWriterError while a former runner still lives, OSError where the kernel refuses.
    """
    take_role(runtime.segment.fd, PROGRAM_HEALTH_WRITER)
    bell, outside = runtime.bells.runner, runtime.outside
    assert bell is not None
    assert outside is not None
    os.setsid()
    guard = start_guard(outside.processes)
    give_up_rights(runtime.settings.globals.programs)
    os.dup2(outside.nothing, STANDARD_INPUT)  # behind a chroot there may be none
    status = 1
    try:
        status = Runner(runtime, bell, guard).serve()
    except Exception:
        runtime.log(LogLevel.CRIT, f"runner failed: {traceback.format_exc()}")
    os._exit(status)


def give_up_rights(rights: ProgramRights) -> None:
    """What the global section does not grant to programs; raises OSError.

    Without `insecure-fork-wanted` only root can start any (RLIMIT_NPROC); without
    `insecure-setuid-wanted` none has rights of the owner of its file (PR_SET_NO_NEW_PRIVS).
    """
    if not rights.fork:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if not rights.gain and _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


class Runner:
    """The event loop of the runner."""

    def __init__(self, runtime: Runtime, bell: int, guard: int) -> None:
        """`guard` is readable when that has ended: without it nothing may run."""
        self._runtime = runtime
        self._bell = bell
        self._guard = guard
        self._self = ProcessSelf(runtime.segment, runtime.segment.shape.runner_process)
        self._self.state(ProcessState.STARTING)
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._fail)
        rights = runtime.settings.globals.programs
        mine = programs_share(runtime.servers)
        agents = min(AGENTS_MAX, sum(server.agent is not None for server in mine))
        programs = Programs(
            told_of(runtime.servers, mine, rights),
            SlotTableReader(runtime.segment).hint,
            lambda text: runtime.log(LogLevel.ALERT, text),
            may_fork=rights.fork,
        )
        part = Part(mine, PROGRAMS_MAX, agents)
        self._checker = PartChecker(runtime, self._loop, programs, part)
        self._told_late = 0
        self._over = False
        self._status = 1

    def serve(self) -> int:
        """Run until told to stop; the exit status of the process."""
        self._loop.add_reader(self._bell, self._rung)
        self._loop.add_reader(self._guard, self._unguarded)
        self._loop.call_soon(self._tick)
        self._checker.start()
        self._self.beat(now_ms())
        self._self.state(ProcessState.READY)
        self._loop.run_forever()
        return self._status

    def _tick(self) -> None:
        """Beat, count, and look for what a lost ring would have told."""
        self._self.beat(now_ms())
        self._self.count_late(self._checker.late - self._told_late)
        self._told_late = self._checker.late
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._act()

    def _rung(self) -> None:
        """The bell was rung: something was published."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        self._act()

    def _act(self) -> None:
        """Do what the command word and the table say."""
        if self._over:
            return
        if self._self.command == ProcessCommand.RUN:
            self._checker.look()
            return
        self._self.state(ProcessState.STOPPING)
        self._status = 0
        self._end()

    def _unguarded(self) -> None:
        """The guard was killed: a successor has another."""
        self._runtime.log(LogLevel.CRIT, "the guard of the runner has ended unasked")
        self._end()

    def _end(self) -> None:
        """Kill what runs, and leave the loop."""
        self._over = True
        self._checker.stop()
        self._loop.remove_reader(self._guard)
        self._loop.stop()

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback raised: nothing that follows can be trusted."""
        error = context.get("exception")
        told = (
            "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        )
        self._runtime.log(LogLevel.CRIT, f"runner failed: {context.get('message')}\n{told}")
        self._status = 1
        loop.stop()
