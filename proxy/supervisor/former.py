"""The program before this one, as its successor in the same process sees it.

    STARTING ---> ASKED ---> COPYING ---> DRAINING ---> ENDED
      workers ready,   |  its services    counters      its sessions
      services loaded  |  are silent      are here      have ended

Its steward supervises what it has left. Where its segment has the layout of this program's, records
are copied as at a reload, and what its workers count until their end is added. The processes are
children of this one, too: the steward's end is no reason to let them run on for ever.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress

import msgspec

from proxy.builds.installed import running
from proxy.builds.succession import WORD_BYTES_MAX, Estate, send_word
from proxy.members.table_changes import members_now
from proxy.runtime import Bells, Log, Runtime
from proxy.server_table import Configured
from proxy.supervisor.carry import Carried
from proxy.supervisor.estate import EstateRecord
from proxy.supervisor.generation import Phase
from proxy.supervisor.limits import STOP_LIMIT_MS, TICK_MS
from proxy.supervisor.prepare import Previous
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reaping import Process, leave, own, reap, send
from shm.check_orders import CheckOrder, CheckOrders
from shm.foreign import adopt_segment
from shm.log_level import LogLevel
from shm.processes import ProcessBoard
from shm.states import ProcessCommand
from shm.tables.memory import StickTable
from shm.tables.shape import TableShape

OTHER_LAYOUT = (
    "the segment of the former build has another layout: counters and stick tables begin anew, "
    "servers as from a state file"
)


class Former:
    """What is left of it; a generation, as far as the supervisor's loop is concerned."""

    def __init__(self, estate: Estate, record: EstateRecord, log: Log) -> None:
        """Nothing is asked of it yet; raises OSError without memory or descriptors."""
        self.number = record.generation
        self.phase = Phase.RUNNING
        self.awaits_older = False
        self.carried: Carried | None = None
        self.came_by = None
        self.silent = False  # neither its resolverd nor its control writes any more
        self.log = log
        self.runtime = self._runtime(record)
        self.held = record.held()
        self._record = record
        self._memory = estate.record
        self._channel = socket.socket(fileno=estate.channel)
        self._channel.setblocking(False)
        own(estate.steward)
        self._steward = Process(estate.steward, os.pidfd_open(estate.steward))
        self._steward_ended = False
        self._left = [_opened(pid) for pid in record.processes]
        self._kill_ms: int | None = None
        self._reactor: Reactor | None = None

    def _runtime(self, record: EstateRecord) -> Runtime | None:
        """As much of it as its successor reads; None where it cannot be read."""
        if record.layout != running().layout or record.shape is None:
            return None
        try:
            settings = record.prepared().settings
            segment = adopt_segment(record.segment, record.shape)
        except (msgspec.DecodeError, ValueError):  # settings have other parts, for example
            return None
        assert settings is not None
        orders = CheckOrders()
        for slot, address, port in record.check_orders:
            orders.publish(slot, CheckOrder(address, port))
        configured = Configured.of(settings)
        return Runtime(
            settings=settings,
            servers=configured.servers,
            segment=segment,
            bells=Bells(record.relay_bells, (), -1, -1),  # control rings for what it asks them
            listeners=(),
            stats_sockets=(),
            service_sockets=(),
            workers=record.shape.workers,
            main_pid=os.getpid(),
            log=self.log,
            check_orders=orders,
        )

    def previous(self) -> Previous | None:
        """What files are read against."""
        if self.runtime is None:
            return None
        servers = members_now(self.runtime.servers, self.runtime.segment)
        return Previous(Configured(self.runtime.settings, servers), self.runtime.segment)

    def tables(self) -> list[StickTable]:
        """Its stick tables, to be read; those that another layout hides are left out.

        Raises OSError without memory or descriptors.
        """
        found = []
        for each in self._record.tables if self.runtime is not None else ():
            with suppress(msgspec.DecodeError, ValueError):
                shape = msgspec.msgpack.decode(each.shape, type=TableShape)
                found.append(StickTable(shape, files=(each.cells, each.holds)))
        return found

    def watched(self, reactor: Reactor, log: Log) -> None:
        """Hear of it from now on."""
        self._reactor, self.log = reactor, log
        reactor.watch(self._channel.fileno(), self._told)
        reactor.watch(self._steward.pidfd, self._ended)

    # -- words ------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Its services are to give way."""
        send_word(self._channel.fileno(), "take")

    def serve_on(self) -> None:
        """Its services are to go on: this program does not take over."""
        send_word(self._channel.fileno(), "back")

    def dismiss(self, kept: list[int], failed: str) -> None:
        """This program serves: its workers finish, sockets that are not `kept` close.

        `failed`: why the build that was to take over did not, where another one did.
        """
        send_word(self._channel.fileno(), "done", kept=kept, failed=failed)
        self.phase = Phase.DRAINING
        with suppress(OSError):  # it is dismissed, whatever remains open
            self._let_go(kept)

    def renewed(self, newest: int, limit: int) -> None:
        """Its generations that are more than `limit` reloads behind the newest one are to end."""
        send_word(self._channel.fileno(), "renewed", newest=newest, limit=limit)

    def _let_go(self, kept: list[int]) -> None:
        """Close what this program has no use for; no program that it executes inherits the rest."""
        for items in self.held.values():
            for item in items:
                if item.socket.fileno() in kept:
                    item.socket.set_inheritable(False)
                else:
                    item.socket.close()
        for each in self._record.masters:
            os.set_inheritable(each.descriptor, False)
        for file in {file for each in self._record.tables for file in (each.cells, each.holds)}:
            os.close(file)
        if self.runtime is None:
            for descriptor in (self._record.segment, *self._record.relay_bells):
                os.close(descriptor)
        else:
            for descriptor in (self.runtime.segment.fd, *self._record.relay_bells):
                os.set_inheritable(descriptor, False)
        self._channel.set_inheritable(False)
        os.close(self._memory)

    def _told(self, _now_ms: int) -> None:
        content = b""
        with suppress(BlockingIOError, ConnectionError):
            content = self._channel.recv(WORD_BYTES_MAX)
            if not content and self._reactor is not None:
                self._reactor.forget(self._channel.fileno())
        if content and json.loads(content)["word"] == "silent":
            self.silent = True

    # -- as a generation --------------------------------------------------------------------------

    def turn(self, now_ms: int, *, judge: bool) -> None:
        """Everything that time brings; there is nothing to `judge`."""
        del judge
        if self._kill_ms is not None and now_ms >= self._kill_ms:
            self._kill_all()
            self._kill_ms = now_ms + STOP_LIMIT_MS
        needed = self.phase is Phase.RUNNING  # its segment, until all of it is copied
        if self._steward_ended and not needed and self._all_ended():
            self.phase = Phase.ENDED

    def is_due(self, _now_ms: int) -> bool:
        """It costs nothing to look."""
        return True

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        return TICK_MS if self._kill_ms is None else max(0, min(TICK_MS, self._kill_ms - now_ms))

    def look_for_stopped(self, now_ms: int) -> None:
        """Its steward does."""

    def stop(self, now_ms: int) -> None:
        """End now, whatever is open."""
        if self.phase in (Phase.ENDING, Phase.ENDED):
            return
        self.phase = Phase.ENDING
        self._kill_ms = now_ms + 2 * STOP_LIMIT_MS  # the steward has its own limit
        send_word(self._channel.fileno(), "stop")

    def _ended(self, _now_ms: int) -> None:
        """The steward has, with all that it had to look after, or by an accident."""
        assert self._reactor is not None
        self._steward_ended = True
        status = reap(self._steward)
        if status is None:
            leave(self._steward.pid)
        self._reactor.forget(self._steward.pidfd)
        self._reactor.forget(self._channel.fileno())
        if not self._all_ended():
            self.log(
                LogLevel.ALERT, "the steward of the former program has ended before its workers"
            )
            if self.phase is Phase.RUNNING:  # nothing will tell them to finish
                self._kill_all()
            elif self.runtime is not None:
                board = ProcessBoard(self.runtime.segment)
                for worker in range(self.runtime.workers):
                    board.command(worker, ProcessCommand.SOFT_STOP)
        self.silent = True

    def _all_ended(self) -> bool:
        return not any(_lives(process) for process in self._left if process is not None)

    def _kill_all(self) -> None:
        for process in (*self._left, self._steward):
            if process is not None:
                send(process, signal.SIGKILL)

    def close(self) -> None:
        """Give back what is held of it."""
        for process in (*self._left, self._steward):
            if process is not None:
                os.close(process.pidfd)
        self._left = []
        self._channel.close()
        if self.runtime is not None:
            self.runtime.segment.close()
            for bell in self.runtime.bells.relays:
                os.close(bell)


def _opened(pid: int) -> Process | None:
    """None for one that has ended already."""
    with suppress(ProcessLookupError):
        return Process(pid, os.pidfd_open(pid))
    return None


def _lives(process: Process) -> bool:
    try:
        signal.pidfd_send_signal(process.pidfd, 0)
    except ProcessLookupError:
        return False
    return True
