"""The master CLI as the supervisor sees it: a child of no generation, and reloads that it orders.

Its sockets are the supervisor's, so its clients wait while a successor is forked. Orders are
numbers in a record: no byte of a client comes here. What came of a start or reload is written into
another record; where that raises, the next turn does it again.

Knows nothing of what a reload does, nor of what clients say.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress

import msgspec

from proxy.config.model.settings import StatsSocket
from proxy.control.call import make_pair
from proxy.log import LogWriter
from proxy.master.inheritance import MasterInheritance, MasterMoment
from proxy.runtime import Runtime, now_ms, ring
from proxy.supervisor.binding import remove_path
from proxy.supervisor.children import Child, describe_end
from proxy.supervisor.faults import Faults, explain
from proxy.supervisor.fork import fork_child
from proxy.supervisor.limits import DROPPED_LIMIT_MS, STARTING_TICK_MS, TICK_MS
from proxy.supervisor.listening import OpenSocket
from proxy.supervisor.privileges import Privileges
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reaping import Process, kill_and_reap, leave, reap, send
from proxy.supervisor.reload_report import ReloadReport
from proxy.supervisor.watch import Life, Watch
from shm.log_level import LogLevel
from shm.master_orders import MasterOrder, MasterRecords, ReloadOutcome
from shm.processes import ProcessStatus

NEVER = MasterOrder(0, 0)
STILL_LOOKING = (
    "changed entries of acls and maps are looked for: the log has those that are dropped"
)
Entry = Callable[[MasterInheritance, MasterMoment], object]


class _Unsaid(msgspec.Struct):
    """What came of a reload and is not told yet."""

    number: int
    succeeded: bool
    report: ReloadReport
    limit_ms: int  # it is told then, complete or not


class Master:
    """The child and its records; every method is called from the supervisor's loop."""

    def __init__(
        self,
        entry: Entry,
        opened: list[tuple[OpenSocket, StatsSocket]],
        reactor: Reactor,
        faults: Faults,
        now_ms: int,
    ) -> None:
        """Nothing is forked yet; raises OSError when descriptors or memory run out.

        The `opened` sockets stay those of the caller, until `close`.
        """
        self._entry = entry
        self._opened = opened
        self._reactor = reactor
        self._faults = faults  # they know the log of the generation that serves
        self._taken = NEVER  # the last order that a reload was begun for
        self._settled = 0  # the number of the last one that was answered
        self._unsaid: _Unsaid | None = None
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        with ExitStack() as undo:
            bells = []
            for _ in range(2):
                bells.append(os.eventfd(0, flags))
                undo.callback(os.close, bells[-1])
            pair = make_pair()
            for end in pair:
                undo.callback(end.close)
            self.calls: socket.socket = pair[1]  # of control, in all generations
            self._inherited = MasterInheritance(
                sockets=tuple((item.socket, line) for item, line in opened),
                records=MasterRecords(),
                orders_bell=bells[0],
                outcome_bell=bells[1],
                calls=pair[0],
            )
            reactor.watch(bells[0], self._rung)
            undo.callback(reactor.forget, bells[0])
            self._undo = undo.pop_all()
        sockets = (item.socket.fileno() for item, _ in opened)
        keep = frozenset((*sockets, *bells, pair[0].fileno()))
        watch = Watch(now_ms, has_relay=False)
        self._child = Child("master", 0, lambda: None, keep, watch)
        self._started_ms = now_ms

    # -- orders -----------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether a reload is ordered that has no answer yet, while none goes on."""
        return self._order().number != self._settled

    def take(self) -> bool:
        """A reload begins, for all orders until now; whether one of them is a hard one."""
        if self._unsaid is not None:  # or clients that wait for it would hear of this one instead
            self._publish(self._unsaid)
        self._taken = self._order()
        return self._taken.hard > self._settled

    def settle(self, report: ReloadReport, *, succeeded: bool) -> None:
        """What came of the orders that were taken; told in a turn, when the report is complete."""
        limit_ms = now_ms() + DROPPED_LIMIT_MS
        self._unsaid = _Unsaid(self._taken.number, succeeded, report, limit_ms)
        self._settled = self._taken.number

    def _publish(self, unsaid: _Unsaid) -> None:
        if not unsaid.report.complete:
            unsaid.report.note(LogLevel.NOTICE, STILL_LOOKING)
        outcome = ReloadOutcome(unsaid.number, unsaid.succeeded, unsaid.report.text())
        self._inherited.records.publish(outcome)
        ring((self._inherited.outcome_bell,))
        self._unsaid = None

    def _order(self) -> MasterOrder:
        try:
            return self._inherited.records.order()
        except BlockingIOError:
            return self._taken

    def _rung(self, _now_ms: int) -> None:
        """Something was ordered: the turn that follows each event looks."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._inherited.orders_bell)

    # -- the child --------------------------------------------------------------------------------

    def turn(self, now_ms: int, runtime: Runtime, *, judge: bool) -> None:
        """Everything that time brings; `runtime` is the generation that serves."""
        unsaid = self._unsaid
        if unsaid is not None and (unsaid.report.complete or now_ms >= unsaid.limit_ms):
            self._publish(unsaid)
        child = self._child
        if not judge:
            child.watch.pardon(now_ms)
        elif child.is_stale(self._status(), now_ms):
            assert child.process is not None
            text = f"master ({child.process.pid}) does not answer any more: killing it"
            self._faults.log(LogLevel.ALERT, text)
            send(child.process, signal.SIGKILL)
        if child.process is None and child.watch.due(now_ms):
            self._start(now_ms, runtime)

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        if self._unsaid is not None and self._unsaid.report.complete:
            return 0
        watch = self._child.watch
        if watch.life is Life.STARTING:
            return STARTING_TICK_MS
        if watch.life is Life.WAITING:
            return max(0, min(TICK_MS, watch.next_start_ms() - now_ms))
        return TICK_MS

    def _status(self) -> ProcessStatus:
        state, beat_ms = self._inherited.records.life
        pid = self._child.process.pid if self._child.process else 0
        restarts = self._child.watch.restarts
        return ProcessStatus(pid, 0, self._started_ms, restarts, state, beat_ms, 0, 0, 0)

    def _start(self, now_ms: int, runtime: Runtime) -> None:
        child, log, settings = self._child, runtime.log, runtime.settings.globals
        moment = MasterMoment(log, settings.stats_timeout_ms, runtime.events)
        descriptors = log.descriptors() if isinstance(log, LogWriter) else ()
        privileges = Privileges.of(settings)
        child.watch.started(now_ms)
        try:
            self._started_ms = now_ms
            child.process = process = fork_child(
                lambda: self._entry(self._inherited, moment),
                title="millrace: master",
                keep=child.keep.union(descriptors),
                privileges=privileges,
            )
            child.reaped = False
            self._reactor.watch(process.pidfd, lambda now: self._ended(process, now))
        except Exception as error:
            self._faults.log(LogLevel.ALERT, f"cannot start master: {explain(error)}")
            try:
                if child.process is not None:  # a process that is not watched must not run on
                    kill_and_reap(child.process)
            finally:
                self._settle_end(now_ms)

    def _ended(self, process: Process, now_ms: int) -> None:
        """The loop says that it has ended, and again where something was raised."""
        child = self._child
        if child.process is process:
            if not child.reaped:
                child.status = reap(process)
                if child.status is None:
                    leave(process.pid)
                child.reaped = True
            self._settle_end(now_ms)
        self._reactor.forget(process.pidfd)
        os.close(process.pidfd)
        how = f"master ({process.pid}) {describe_end(child.status)}"
        self._faults.log(LogLevel.ALERT, f"{how}: starting another")

    def _settle_end(self, now_ms: int) -> None:
        self._child.watch.ended(self._status())
        self._inherited.records.live(0, 0)
        self._child.watch.died(now_ms)
        self._child.process = None

    @property
    def opened(self) -> list[OpenSocket]:
        """Its listening sockets, in the order of -S."""
        return [item for item, _ in self._opened]

    def pause(self) -> None:
        """New clients wait for the master of another program."""
        if self._child.process is not None:
            send(self._child.process, signal.SIGUSR1)

    def leave(self) -> None:
        """Another program's master serves these sockets: the child ends."""
        self._child.watch.retire()
        process, self._child.process = self._child.process, None
        if process is not None:
            self._reactor.forget(process.pidfd)
            kill_and_reap(process)

    def close(self) -> None:
        """The program ends: the child, its sockets and all else."""
        self._child.watch.retire()
        process, self._child.process = self._child.process, None
        if process is not None:
            self._reactor.forget(process.pidfd)
            kill_and_reap(process)
        for item, _ in self._opened:
            item.socket.close()
            remove_path(item.endpoint, item.identity)
        self._undo.close()
