"""The program that runs hands over to the build that is on disk: its side of it.

    PROVING ---- proved ----> forked: the steward goes on with all there is (steward.py);
       |                      this process executes the new build (proxy/builds/succession.py)
       +-- not, or late --> a failed reload

The new build shows in a process of its own what it can (proof.py), so that what runs is touched
only when there is something to hand over to. The steward waits until the new program has been
executed: where the kernel refuses that, all is as before.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress

import setproctitle

from proxy.builds.installed import Installation, running
from proxy.builds.succession import PROOF, PROTOCOL, PROVED, Estate
from proxy.config.report import FATAL
from proxy.log_thread import pause_log_threads, start_again
from proxy.members.table_changes import members_now
from proxy.runtime import Runtime
from proxy.server_table import state_server
from proxy.supervisor.estate import EstateRecord, passed, passed_tables, write_record
from proxy.supervisor.fork import PR_SET_PDEATHSIG
from proxy.supervisor.generation import Generation
from proxy.supervisor.helper import Helper, Sender
from proxy.supervisor.limits import LOG_END_LIMIT_MS, RELOAD_LIMIT_MS
from proxy.supervisor.listening import OpenSocket
from proxy.supervisor.passage import encode
from proxy.supervisor.prepare import Prepared
from proxy.supervisor.reactor import Reactor
from resolverd.state_file.format import StateRow
from resolverd.state_file.rows import RowReader
from shm.check_orders import AS_CONFIGURED
from shm.events import EVENTS_MAX, EventRing

NOT_PROVED = (
    "the build on disk does not prove that it can go on from this one: mend it, or start it anew"
)
FILES_AT_FAULT = "the build on disk takes over once it finds no error in the files: mend them"
CHANGED_MEANWHILE = (
    "the build on disk has changed while it was proved: reload again once it is all installed"
)
TAG = re.compile(r"\[[A-Z]+\] +(\(\d+\) : )?")  # the log has its own
LINES_MAX = 20  # of what a proof says
_libc = ctypes.CDLL(None, use_errno=True)


class UpgradeError(Exception):
    """The build on disk does not take over; each argument is a line."""


class Proof:
    """The build on disk shows what it can; `done` once there is a result."""

    def __init__(self, reactor: Reactor, environ: dict[str, str], now_ms: int) -> None:
        """Execute it; raises OSError when the kernel refuses a process."""
        self.done = False
        self._reactor = reactor
        self._deadline_ms = now_ms + RELOAD_LIMIT_MS
        installed = running()
        command = installed.command("-c")
        self._proved = installed.on_disk()

        def execute(sender: Sender) -> None:
            for standard in (1, 2):
                os.dup2(sender.descriptor, standard)
            installed.enter_folder()
            os.execve(command[0], command, {**environ, PROOF: "1"})

        self._helper = Helper(execute, "millrace: proof")
        reactor.watch(self._helper.descriptor, self._received)

    def _received(self, _now_ms: int) -> None:
        if self._helper.receive():
            self.done = True

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        return 0 if self.done else max(0, self._deadline_ms - now_ms)

    def late(self, now_ms: int) -> bool:
        """Whether it takes too long."""
        return now_ms >= self._deadline_ms

    def end(self) -> bytes:
        """End it, whatever it does; all that it said."""
        self._reactor.forget(self._helper.descriptor)
        return self._helper.end()

    def judge(self) -> str:
        """End it; the layout of the build's segment.

        Raises UpgradeError unless its last line says that all was shown.
        """
        lines = self.end().decode(errors="replace").splitlines()
        proved, _, layout = lines[-1].rpartition(" ") if lines else ("", "", "")
        if proved != PROVED:
            told = [TAG.sub("", each) for each in lines[-LINES_MAX:]]
            raise UpgradeError(*told, FILES_AT_FAULT if FATAL in told else NOT_PROVED)
        if running().on_disk() != self._proved:
            raise UpgradeError(CHANGED_MEANWHILE)
        return layout


def record_of(
    current: Generation,
    masters: Iterable[OpenSocket],
    older: Iterable[Generation],
    *,
    layout: str,
    begun_ms: int,
    descriptors: int,
) -> EstateRecord:
    """What the next program has to know of this one; `layout` is that of its segment."""
    runtime = current.runtime
    living = [child.process for each in (*older, current) for child in each.children.all]
    return EstateRecord(
        protocol=PROTOCOL,
        sockets=tuple(passed(current.sockets.held)),
        masters=tuple(
            item
            for each in masters
            for item in passed({(each.endpoint, None, None, False): [each]})
        ),
        layout=running().layout,
        segment=runtime.segment.fd,
        relay_bells=runtime.bells.relays,
        shape=runtime.segment.shape,
        settings=encode(Prepared(runtime.settings, ())),
        generation=current.number,
        begun_ms=begun_ms,
        descriptors=descriptors,
        reloads=runtime.segment.reloads,
        failures=runtime.segment.reload_failures,
        processes=tuple(process.pid for process in living if process is not None),
        events=tuple(_events(runtime.events)),
        check_orders=tuple(_check_orders(runtime)),
        tables=tuple(passed_tables(runtime.tables)),
        rows=() if layout == running().layout else tuple(_rows(runtime)),
    )


def _events(ring: EventRing) -> Iterator[tuple[int, int, str]]:
    for sequence in range(max(1, ring.last - EVENTS_MAX + 1), ring.last + 1):
        event = ring.event(sequence)
        if event is not None:
            yield event.time_us, event.level, event.text


def _check_orders(runtime: Runtime) -> Iterator[tuple[int, str | None, int | None]]:
    for slot in range(runtime.servers.capacity) if runtime.check_orders.any else ():
        with suppress(BlockingIOError):
            order = runtime.check_orders.read(slot)
            if order != AS_CONFIGURED:
                yield slot, order.address, order.port


def _rows(runtime: Runtime) -> Iterator[StateRow]:
    """Each server as in a state file, which every build can read."""
    servers = members_now(runtime.servers, runtime.segment)
    for configured, _ in list(servers.renamed()):  # names of the files are what a start looks for
        servers.rename(configured.slot, configured.name)
    reader = RowReader(runtime.segment, {})
    for proxy in servers.backends:
        for server in servers.of(proxy):
            with suppress(BlockingIOError):
                yield reader.read(state_server(proxy, server)).row


def part(record: EstateRecord, environ: dict[str, str]) -> socket.socket:
    """Fork, and execute the build on disk; returns in the fork, with its channel.

    Raises OSError in the process that was there before, where all is as it was.
    """
    installed = running()
    memory = write_record(record)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiter, refusal = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    threads = pause_log_threads(LOG_END_LIMIT_MS / 1_000)
    former = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
        if child == 0:
            theirs.close()
            os.close(memory)
            os.close(refusal)
            _await_execution(waiter, parent)
            start_again(threads)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # what they mean the main process decides
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
            setproctitle.setproctitle("millrace: steward")
            return ours
        ours.close()
        inherited = [memory, theirs.fileno(), *record.descriptors_passed()]
        estate = Estate(memory, theirs.fileno(), child, installed.former_command())
        try:
            _execute(installed, estate, inherited, dict(environ))
        finally:  # it was not executed
            for descriptor in inherited:
                os.set_inheritable(descriptor, False)
            os.write(refusal, b"!")
            os.waitpid(child, 0)
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
            start_again(threads)
            theirs.close()
            os.close(memory)
            os.close(waiter)
            os.close(refusal)
    raise AssertionError("a program that was executed does not go on")


def _execute(
    installed: Installation, estate: Estate, inherited: list[int], environ: dict[str, str]
) -> None:
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    estate.to_environment(environ)
    command = installed.command()
    folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        installed.enter_folder()
        os.execve(command[0], command, environ)
    except OSError:
        os.fchdir(folder)
        raise
    finally:
        os.close(folder)


def _await_execution(waiter: int, parent: int) -> None:
    """Go on when the other process is another program; end where it is not, or has ended."""
    refused = os.read(waiter, 1)
    os.close(waiter)
    if refused or _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        os._exit(0)
    if os.getppid() != parent:
        os._exit(0)
