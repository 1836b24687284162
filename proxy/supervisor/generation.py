"""One configuration in force: its segment, its children, its sockets.

               soft stop             handshakes over            all workers gone
    RUNNING ------------> QUIESCING -----------------> DRAINING ----------------> ENDED
        |                      |        stop              |                        ^
        +----------------------+--------------------------+------> ENDING ---------+

A RUNNING generation replaces what dies; the others only watch. QUIESCING: no new handshake begins
on the sockets that will be closed. DRAINING: workers accept what is queued and finish their
sessions (`hard-stop-after` bounds it), control the answers that it owes; sockets close once their
queues are empty. ENDING: told to stop at once, killed after a short while.

At the end of the program the last generation keeps its control, and replaces it when it dies, until
all older ones have ended (`awaits_older`): the stats socket answers to the end.

Knows nothing of signals, of reload or of how settings came to be.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Iterable
from contextlib import ExitStack

from proxy.log import LogWriter
from proxy.runtime import Runtime, ring
from proxy.supervisor.adoption import plan_owners
from proxy.supervisor.binding import remove_path
from proxy.supervisor.carry import Carried
from proxy.supervisor.children import Child, Children, Entries, describe_end, is_news
from proxy.supervisor.departure import Closing
from proxy.supervisor.faults import explain
from proxy.supervisor.fork import fork_child
from proxy.supervisor.handover import Handover
from proxy.supervisor.hard_stop import tell_hard_stop
from proxy.supervisor.limits import QUIESCE_MS, STARTING_TICK_MS, STOP_LIMIT_MS, TICK_MS
from proxy.supervisor.listening import SocketSet
from proxy.supervisor.lists import settle_lists
from proxy.supervisor.pairs import Onward
from proxy.supervisor.privileges import Privileges
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reaping import Process, is_stopped, kill_and_reap, leave, reap, send
from proxy.supervisor.remnants import Remnants
from proxy.supervisor.services import Services
from proxy.supervisor.slices import Sliced
from proxy.supervisor.tables import settle_tables
from proxy.supervisor.watch import Life
from shm.counters import mend_hints, settle_dead_worker
from shm.log_level import LogLevel
from shm.processes import ProcessBoard
from shm.states import ProcessCommand


class Phase(enum.Enum):
    """Where a generation stands; see the drawing above."""

    RUNNING = "running"
    QUIESCING = "quiescing"
    DRAINING = "draining"
    ENDING = "ending"
    ENDED = "ended"


class Generation:
    """The children of one runtime; every method is called from the supervisor's loop."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        sockets: SocketSet,
        descriptors: int,
        entries: Entries,
        log: LogWriter,
        reactor: Reactor,
        now_ms: int,
        handover: Handover | None = None,
        gated: bool = False,
    ) -> None:
        """Nothing is forked yet; that begins with the first turn. `descriptors`: their limit.

        With another generation before it, resolverd and control are `gated`: they load and wait,
        until its `services` are let in; the `handover` brings what that one has.
        """
        self.runtime = runtime
        self.number = runtime.segment.reload_generation
        self.sockets = sockets
        self.handover = handover
        self.carried: Carried | None = None  # what its successor took over of the counters
        self.came_by: Onward | None = None  # how it got those of its predecessor
        self.phase = Phase.RUNNING
        self.awaits_older = False  # nothing but the end of older generations is waited for
        self._keeps_control = False
        self.children = Children(runtime, entries, log.descriptors(), now_ms)
        self._descriptors = descriptors
        self.resources = ExitStack()  # what it gives back: the builder's
        self._reactor = reactor
        self._board = ProcessBoard(runtime.segment)
        self.services = Services(runtime, self.children, self._board)
        self._privileges = Privileges.of(runtime.settings.globals)
        self._homes = [listener.worker for listener in runtime.listeners]
        self._owners = list(self._homes)
        self._serving: tuple[set[int], set[int]] | None = None  # the workers of `_owners`
        self._remnants = Remnants(runtime.outside, log)
        self._doubtful_hints: set[int] = set()  # of slots at which a worker died in a step
        self._closing = Closing(())
        self._closing_indices: set[int] = set()  # of listeners
        self._quiet_ms = 0  # when the handshakes under way are over
        self._look_ms = 0  # when it has its next turn where it only drains
        self._hard_stop_ms: int | None = None
        self._hard_stopped = False  # the workers were told
        self._telling: Sliced[None] | None = None  # whose sessions a hard stop ends
        self._kill_ms = 0
        for index, home in enumerate(self._homes):
            self._board.assign(index, home)
        if gated:
            self.children.load()
            self.services.wait()

    def __repr__(self) -> str:
        """Number, phase, children."""
        return f"Generation({self.number}, {self.phase.value}, {self.children.all})"

    # -- looking after the children ---------------------------------------------------------------

    def turn(self, now_ms: int, *, judge: bool) -> None:
        """Everything that time brings; `judge`: heartbeats may be believed now.

        One child starts at most: a fork takes long where there is much memory.
        """
        started = False
        self.services.turn(now_ms)
        self._remnants.turn(now_ms)
        for child in self.children.all:
            if judge and child.is_stale(self._board.status(child.position), now_ms):
                self._kill_stale(child)
            free = child.process is None and self._due(child, now_ms)
            if not started and free and self._replaces(child):
                self._start(child, now_ms)
                started = True
        self._adopt(now_ms)
        mend_hints(self.runtime.segment, self._doubtful_hints)
        if self.phase is not Phase.RUNNING:
            self._advance(now_ms)
        self._look_ms = now_ms + TICK_MS

    def is_due(self, now_ms: int) -> bool:
        """Whether it may have something to do; one that only finishes its sessions beats."""
        drains = self.phase is Phase.DRAINING and not self._closing and not self.services.finishing
        drains = drains and not self._remnants.pending and self._telling is None
        return not drains or now_ms >= self._look_ms

    def _replaces(self, child: Child) -> bool:
        if child is self.children.runner and self._remnants.pending:
            return False  # programs of the former runner would count for nothing
        if self.phase is Phase.RUNNING:
            return True
        ending = self.phase not in (Phase.QUIESCING, Phase.DRAINING)
        return self._keeps_control and not ending and child is self.children.control

    def _due(self, child: Child, now_ms: int) -> bool:
        return child.watch.due(now_ms, alone=self._alone(child))

    def _alone(self, child: Child) -> bool:
        """Whether clients wait for the next worker here, because none serves or is starting."""
        if child.watch.life is not Life.WAITING or child not in self.children.workers:
            return False
        there = (Life.STARTING, Life.SERVING)
        return all(other.watch.life not in there for other in self.children.workers)

    def _start(self, child: Child, now_ms: int) -> None:
        child.watch.started(now_ms)
        try:
            child.load()
            child.process = fork_child(
                child.body,
                title=f"millrace: {child.name} (generation {self.number})",
                keep=self.children.kept(child),
                privileges=self._privileges,
                descriptors=self._descriptors,
            )
            if child.ended_as_told:
                text = f"starting another {child.name}: a reload that was called off had ended it"
                self.runtime.log(LogLevel.NOTICE, text)
            child.expected, child.ended_as_told, child.reaped = set(), False, False
            process = child.process
            self._board.started(child.position, process.pid, now_ms, child.watch.restarts)
            self._reactor.watch(process.pidfd, lambda now_ms: self._ended(child, process, now_ms))
        except Exception as error:
            self.runtime.log(LogLevel.ALERT, f"cannot start {child.name}: {explain(error)}")
            try:
                if child.process is not None:  # a process that is not watched must not run on
                    kill_and_reap(child.process)
            finally:
                self._settle(child, now_ms)

    def _kill_stale(self, child: Child) -> None:
        assert child.process is not None
        pid = child.process.pid
        said = f"{child.name} ({pid}) does not answer any more: killing it"
        self.runtime.log(LogLevel.ALERT, said)
        send(child.process, signal.SIGKILL)

    def _ended(self, child: Child, process: Process, now_ms: int) -> None:
        """The loop says that a process has ended.

        It says so again where something was raised: each step may be done twice, and the
        descriptor, without which it could not, is closed after them.
        """
        self._look_ms = 0
        if child.process is process:
            if not child.reaped:
                if child is self.children.runner:
                    self._remnants.add(process.pid, now_ms)
                child.status = reap(process)
                if child.status is None:
                    leave(process.pid)
                child.reaped = True
                child.watch.lost(now_ms)
                self._adopt(now_ms)
            self._settle(child, now_ms)
        self._reactor.forget(process.pidfd)
        os.close(process.pidfd)
        status = child.status
        told = status in child.expected or (status is None and bool(child.expected))
        child.ended_as_told = told
        how = f"{child.name} ({process.pid}) {describe_end(status)}"
        if not child.watch.retired:
            if not told:
                self.runtime.log(LogLevel.ALERT, f"{how}: starting another")
            self.turn(now_ms, judge=False)
        elif self.phase not in (Phase.ENDING, Phase.ENDED) and not told and is_news(status):
            self.runtime.log(LogLevel.WARNING, f"old {how}")

    def _settle(self, child: Child, now_ms: int) -> None:
        """No process holds this position any more."""
        status = self._board.status(child.position)
        child.watch.ended(status)
        self._board.ended(child.position)
        settle_tables(self.runtime, child, status)
        settle_lists(self.runtime, child)
        if child in self.children.workers:
            self._doubtful_hints |= settle_dead_worker(
                self.runtime.segment, child.position, last=child.watch.retired
            )
        child.watch.died(now_ms)
        child.process = None

    def look_for_stopped(self, now_ms: int) -> None:
        """Notice workers stopped by a signal: siblings serve their sockets before they go stale."""
        for child in self.children.workers:
            if child.process is not None and is_stopped(child.process):
                child.watch.stopped(now_ms)
                self._look_ms = 0

    def _adopt(self, now_ms: int) -> None:
        """Give sockets to siblings of workers that are away, and back."""
        workers = self.children.workers
        staying = {child.position for child in workers if child.watch.can_serve(now_ms)}
        siblings = {child.position for child in workers if child.watch.life is Life.SERVING}
        if (staying, siblings) == self._serving:
            return
        changed = False
        for index, owner in enumerate(plan_owners(self._homes, staying, siblings)):
            if self._owners[index] != owner:
                self._board.assign(index, owner, closes=index in self._closing_indices)
                self._owners[index] = owner
                changed = True
        if changed:
            ring(self.runtime.bells.relays)
        self._serving = staying, siblings  # at last: what was raised before is done again

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        if self._remnants.pending or self._telling is not None:
            return STARTING_TICK_MS
        if self.phase is not Phase.RUNNING:
            return STARTING_TICK_MS if self._closing or self.phase is Phase.ENDING else TICK_MS
        timeout = TICK_MS
        if any(self._due(child, now_ms) for child in self.children.all):
            return 0
        for child in self.children.all:
            watch = child.watch
            if watch.life is Life.STARTING:
                return STARTING_TICK_MS
            due = watch.adoption_due_ms()
            if watch.life is Life.WAITING:
                due = watch.next_start_ms(alone=self._alone(child))
            if due is not None and due > now_ms:
                timeout = min(timeout, due - now_ms)
        return timeout

    # -- the end ----------------------------------------------------------------------------------

    def soft_stop(self, closing: Closing, now_ms: int, *, keep_control: bool = False) -> None:
        """Accept what is queued, finish the sessions, then end; close these sockets on the way."""
        assert self.phase is Phase.RUNNING, f"soft stop of {self}"
        self._closing = closing
        self._quiet_ms = now_ms + (QUIESCE_MS if self._closing else 0)
        limit = self.runtime.settings.globals.hard_stop_after_ms
        self._hard_stop_ms = None if limit is None else now_ms + limit
        self.runtime.segment.stops(now_ms, self._hard_stop_ms or 0)
        self.phase = Phase.QUIESCING
        self._keeps_control = keep_control
        for child in self.children.all:
            if child is not self.children.control or not keep_control:
                child.watch.retire()
        for item in closing.items:
            remove_path(item.endpoint, item.identity)
        self._let_in({id(item.socket) for item in closing.items})
        self.services.end(signal.SIGKILL, but=self.children.control)
        if self.children.runner is not None:
            self.children.runner.end(signal.SIGKILL)
        self._advance(now_ms)

    def _let_in(self, closing: set[int]) -> None:
        """Clients in the queues of sockets that will be closed wait for no place any more."""
        listeners = self.runtime.listeners
        self._closing_indices = {each.index for each in listeners if id(each.socket) in closing}
        for index in self._closing_indices:
            self._board.assign(index, self._owners[index], closes=True)
        ring(self.runtime.bells.relays)

    def stop(self, now_ms: int) -> None:
        """End now, whatever is open."""
        if self.phase in (Phase.ENDING, Phase.ENDED):
            return
        self.phase = Phase.ENDING
        self._kill_ms = now_ms + STOP_LIMIT_MS
        for child in self.children.all:
            child.watch.retire()
        self._command(ProcessCommand.STOP, self.children.all, self.runtime.bells.all())
        self.services.end(signal.SIGTERM)
        self._closing.shut()

    def _command(
        self, command: ProcessCommand, children: Iterable[Child], bells: Iterable[int]
    ) -> None:
        for child in children:
            self._board.command(child.position, command)
        ring(bells)

    def _advance(self, now_ms: int) -> None:
        self._closing.look()
        if self.phase is Phase.QUIESCING and now_ms >= self._quiet_ms:
            told = list(self.children.workers)
            if self._keeps_control:  # which has the sockets, too
                told.append(self.children.control)
            self._command(ProcessCommand.SOFT_STOP, told, self.runtime.bells.all())
            self.phase = Phase.DRAINING  # now that all were told
        if self.phase is Phase.DRAINING:
            told_ms = now_ms - self._quiet_ms
            self._closing.shut_empty(told_ms, served=self.children.working)
            waits = self.awaits_older or self.services.finishing
            if not self.children.working and not waits:
                self.stop(now_ms)
        if self._hard_stop_ms is not None and now_ms >= self._hard_stop_ms:
            self._hard_stop(now_ms)
        if self.phase is Phase.ENDING:
            if now_ms >= self._kill_ms:
                self._kill_all(now_ms)
            if not self.children.alive and not self._remnants.pending:
                self._closing.shut()  # what is left where something was raised
                self.phase = Phase.ENDED

    def _hard_stop(self, now_ms: int) -> None:
        """The sessions had their time; control goes on where older generations have more."""
        if self.children.working and not self._hard_stopped:
            self._telling = self._telling or Sliced(tell_hard_stop(self.runtime))
            if not self._telling.advance():
                return
            self._telling = None
        if not self.awaits_older:
            self._hard_stop_ms = None
            self.stop(now_ms)
        elif self._hard_stopped:
            self._hard_stop_ms = None
            for child in self.children.workers:
                child.end(signal.SIGKILL)
        else:
            self._hard_stop_ms = now_ms + STOP_LIMIT_MS
            self._hard_stopped = True
            self._command(ProcessCommand.STOP, self.children.workers, self.runtime.bells.all())

    def _kill_all(self, now_ms: int) -> None:
        for child in self.children.all:
            child.end(signal.SIGKILL)
        self._kill_ms = now_ms + STOP_LIMIT_MS

    def close(self) -> None:
        """Give back the segment and the rest, after the last process has ended.

        All of it is given back, whatever one of them raises.
        """
        assert self.phase is Phase.ENDED, f"closing {self}"
        self.resources.close()
