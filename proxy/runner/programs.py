"""External checks under way: a program each, until it ends, is killed, and is gone (manual: option
external-check, external-check command).

Owns the processes and what they are told of their server. The exit status says how a check ended.
At the end of its time a program is killed with its whole group, without a word before: what may
take longer than that must say so by `timeout check`. A group keeps its number until the end of its
leader is taken, which happens here only, so no other group is ever killed.

A program that is killed counts among those under way until it is gone: as long as the kernel holds
it, it has a place.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from proxy.config.model.checks import ExternalCheck, ProgramRights
from proxy.config.model.settings import Proxy, SocketFamily
from proxy.health.attempts import Attempts, outcome_of
from proxy.health.check import Plan
from proxy.health.dialect.seam import Dialect, Result
from proxy.health.judgement import Outcome
from proxy.health.share import CheckedServer
from proxy.runner.spawn import spawn
from proxy.server_table import ServerTable
from shm.check_status import KILLED_CODE, CheckStatus

PROGRAMS_MAX = 64  # at once: each may be a shell with children of its own
NOT_USED = "NOT_USED"  # an argument that says nothing, as in HAProxy
NOT_STARTED_CODE = 255  # of a program that cannot be executed, as in HAProxy
# Failures that say something of this host, not of the program.
LOCAL_ERRORS = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC}  # of epoll_ctl(2)
)


class RunningProgram:
    """One program under way for the server in `slot`; its group has the number of its process."""

    __slots__ = ("began_ns", "deadline_ms", "descriptor", "pid", "slot")

    def __init__(self, slot: int, began_ns: int, pid: int, descriptor: int) -> None:
        self.slot = slot
        self.began_ns = began_ns
        self.deadline_ms = 0
        self.pid = pid
        self.descriptor = descriptor  # pidfd; -1 once it has ended or was killed

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""
        return self.began_ns // 1_000_000


class Told:
    """What the programs of one server are told: command, arguments and environment."""

    def __init__(
        self,
        proxy: Proxy,
        server_id: int,
        maxconn: int,
        server: CheckedServer,
        rights: ProgramRights,
    ) -> None:
        assert isinstance(server.rules, ExternalCheck)
        self.title = f"{proxy.name}/{server.name}"
        self.command, self.path = server.rules.command, server.rules.path
        self._server = server
        address, port = listening_address(proxy)
        self._proxy_words = (address or NOT_USED, port or NOT_USED)
        if address is not None and not port:
            self._proxy_words = (address, NOT_USED)
        fixed = {
            "HAPROXY_PROXY_ADDR": address or "",
            "HAPROXY_PROXY_ID": str(proxy.id),
            "HAPROXY_PROXY_NAME": proxy.name,
            "HAPROXY_PROXY_PORT": port,
            "HAPROXY_SERVER_ID": str(server_id),
            "HAPROXY_SERVER_MAXCONN": str(maxconn),
            "HAPROXY_SERVER_NAME": server.name,
            "HAPROXY_SERVER_PROTO": "tcp",
            "HAPROXY_SERVER_SSL": "0",
        }
        self._environment = dict(rights.environment)
        if self.path or b"PATH" not in self._environment:
            self._environment[b"PATH"] = os.fsencode(self.path)
        self._environment |= _encoded(fixed)

    def words(self, plan: Plan) -> tuple[str, ...]:
        """The arguments, for a server that is where the plan says."""
        address, port = self._address(plan)
        return (*self._proxy_words, address, port or NOT_USED)

    def environment(self, plan: Plan, sessions: int) -> dict[bytes, bytes]:
        """The variables, for a server with so many sessions."""
        address, port = self._address(plan)
        present = {
            "HAPROXY_SERVER_ADDR": address,
            "HAPROXY_SERVER_CURCONN": str(sessions),
            "HAPROXY_SERVER_PORT": port,
        }
        return self._environment | _encoded(present)

    def _address(self, plan: Plan) -> tuple[str, str]:
        """Address and port; that of a Unix socket is its path, an abstract name is not told."""
        local = self._server.local
        if local is not None:
            return local.host if local.family is SocketFamily.UNIX else "", ""
        host, port = plan.target
        assert isinstance(host, str), host
        return host, str(port)


def listening_address(proxy: Proxy) -> tuple[str | None, str]:
    """The first address that a section listens on, and its port, empty for a Unix socket.

    None in a section without one, or with descriptors of others only. An abstract name is empty.
    """
    for bind in proxy.binds:
        family, host, port = bind.endpoint.family, bind.endpoint.host, bind.endpoint.port
        if family in (SocketFamily.IPV4, SocketFamily.IPV6):
            return host, str(port)
        if family is SocketFamily.UNIX:
            return host, ""
        if family is SocketFamily.ABSTRACT:
            return "", ""
    return None, ""


def _encoded(variables: dict[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}


class Programs(Attempts[RunningProgram]):
    """The programs of a runner."""

    def __init__(
        self,
        told: dict[int, Told],
        sessions: Callable[[int], int],
        complain: Callable[[str], None],
        *,
        may_fork: bool,
    ) -> None:
        """`told` by slot; `sessions` of a slot; `complain` says why a program does not start."""
        super().__init__()
        self._told = told
        self._sessions = sessions
        self._complain = complain
        self._may_fork = may_fork
        self._killed: dict[int, RunningProgram] = {}  # by descriptor: not gone yet
        self._complaints: dict[str, str] = {}  # the last one about a command

    def __len__(self) -> int:
        """Programs under way, or killed and not gone yet."""
        return super().__len__() + len(self._killed)

    def begin(
        self,
        slot: int,
        plan: Plan,
        dialect: Dialect,  # noqa: ARG002 (what a program says is its own affair)
    ) -> RunningProgram | Outcome:
        """Start a program."""
        told, began_ns = self._told[slot], time.monotonic_ns()
        environment = told.environment(plan, self._sessions(slot))
        try:
            pid = spawn(told.command, told.words(plan), environment, told.path)
        except OSError as error:
            return outcome_of(self._not_started(slot, error), began_ns)
        self._complaints.pop(told.command, None)
        try:
            program = RunningProgram(slot, began_ns, pid, self._watch(pid))
        except OSError as error:
            _end_unwatched(pid)
            return outcome_of(self._not_started(slot, error), began_ns)
        self._checks[program.descriptor] = program
        limit_ms = plan.limits.exchange_ms or plan.limits.connect_ms
        self._limit(program, program.began_ms + limit_ms)
        return program

    def _watch(self, pid: int) -> int:
        """A descriptor of a program, in the epoll set; raises OSError."""
        descriptor = os.pidfd_open(pid)
        try:
            self._epoll.register(descriptor, select.EPOLLIN)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _not_started(self, slot: int, error: OSError) -> Result:
        code = error.errno or errno.EAGAIN
        if code in LOCAL_ERRORS:
            # that it may start none is lasting, and no check ever passes
            return Result(CheckStatus.SOCKERR, code, own_fault=self._may_fork)
        self._tell(self._told[slot], os.strerror(code))
        return Result(CheckStatus.PROCERR, NOT_STARTED_CODE)

    def _tell(self, told: Told, why: str) -> None:
        """Say why a program does not start, once until it does or there is another reason."""
        if self._complaints.get(told.command) != why:
            self._complaints[told.command] = why
            self._complain(f"external check of {told.title}: cannot run '{told.command}': {why}")

    def ended(self, events_max: int) -> list[tuple[RunningProgram, Outcome]]:
        """Take the ends of programs; so many at most."""
        found = []
        for descriptor, _ in self._epoll.poll(0, events_max):
            killed = self._killed.get(descriptor)
            if killed is not None:
                if _exit_of(descriptor) is not None:
                    del self._killed[descriptor]
                    self._close(descriptor)
                continue
            program = self._checks[descriptor]
            result = self._end_of(program)
            if result is not None:
                found.append((program, outcome_of(result, program.began_ns)))
        return found

    def _close(self, descriptor: int) -> None:
        """Hear of it no more; a program that is just being executed may still have a copy of it."""
        self._epoll.unregister(descriptor)
        os.close(descriptor)

    def _end_of(self, program: RunningProgram) -> Result | None:
        """What the end of a program says; None while it runs."""
        status = _exit_of(program.descriptor)
        if status is None:
            return None
        del self._checks[program.descriptor]
        self._close(program.descriptor)
        program.descriptor = -1
        if status == 0:
            return Result(CheckStatus.PROCOK)
        return Result(CheckStatus.PROCERR, KILLED_CODE if status < 0 else status)

    def expired(self, now_ms: int, checks_max: int) -> list[tuple[RunningProgram, Outcome]]:
        """Kill the programs whose time was up at `now_ms`; so many at most."""
        found: list[tuple[RunningProgram, Outcome]] = []
        while len(found) < checks_max:
            program = self._take_expired(now_ms)
            if program is None:
                break
            result = self._end_of(program)  # it may have ended in time and only not been heard
            if result is None:
                self.abandon(program)
                result = Result(CheckStatus.PROCTOUT)
            found.append((program, outcome_of(result, program.began_ns)))
        return found

    def abandon(self, check: RunningProgram) -> None:
        """Kill a program with its group; nothing is waited for."""
        if self._checks.pop(check.descriptor, None) is None:
            return  # it has ended
        self._killed[check.descriptor] = check
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(check.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):  # it may be in another group by now
            signal.pidfd_send_signal(check.descriptor, signal.SIGKILL)
        check.descriptor = -1


def _exit_of(descriptor: int) -> int | None:
    """Take the end of a process: its exit status, negative for a signal; None while it runs."""
    ended = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _end_unwatched(pid: int) -> None:
    """End a program that there is no descriptor for."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED)


def told_of(
    servers: ServerTable, mine: list[CheckedServer], rights: ProgramRights
) -> dict[int, Told]:
    """What the programs of all servers are told, by slot."""
    told = {}
    for server in mine:
        proxy, line = servers.backends[server.backend_index], servers[server.slot]
        told[server.slot] = Told(proxy, line.id, line.queueing.maxconn, server, rights)
    return told
