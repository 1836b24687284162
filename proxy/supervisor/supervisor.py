"""The supervisor's loop: signals and ends of processes in, steps of generations out.

No thread takes part, no event loop library. It forwards nothing and resolves nothing; whatever may
block is done by helper children, and writes to log files by threads (proxy/log_thread.pyx). `run`
returns how the program is to end.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable
from contextlib import suppress

from proxy.runtime import Runtime, now_ms
from proxy.supervisor.build import Builder
from proxy.supervisor.faults import NEVER_READY, explain
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.giving import sockets_of_clients
from proxy.supervisor.late_counts import LateCounts, adding
from proxy.supervisor.limits import (
    FAULT_PAUSE_MS,
    FIRST_READY_LIMIT_MS,
    SERVICES_LIMIT_MS,
    SUSPECT_AFTER_MS,
)
from proxy.supervisor.master import Master
from proxy.supervisor.notify import Notifier
from proxy.supervisor.ordered import OrderedReloads
from proxy.supervisor.ping import PingSocket, verdict
from proxy.supervisor.reaping import look_again, reap_strangers
from proxy.supervisor.reload import Read, Reload, Step, note_failure
from proxy.supervisor.signals import SignalPipe
from proxy.supervisor.slices import PORTION, Sliced, Steps
from shm.counters import CounterReader
from shm.log_level import LogLevel

RELOAD_SIGNALS = (signal.SIGUSR2, signal.SIGHUP)
STOPPING = "the program is stopping"


class End(enum.Enum):
    """Why the program ends."""

    SOFT = "soft"  # SIGUSR1, sessions finished
    TERMINATED = "terminated"
    INTERRUPTED = "interrupted"
    FAILED = "failed"  # the workers never became ready


class Supervisor:
    """The process tree of one program."""

    def __init__(
        self,
        first: Generation,
        builder: Builder,
        read: Read,
        notifier: Notifier,
        when_ready: Callable[[], None],
        *,
        master: Master | None = None,
    ) -> None:
        """Nothing is forked yet, but signals are taken. `when_ready` is called once."""
        self.ping: PingSocket | None = None  # with a pid file
        self.current = first
        self._builder = builder
        self._reactor = builder.reactor
        self._read = read
        self._notifier = notifier
        self._when_ready: Callable[[], None] | None = when_ready
        self._orders = OrderedReloads(master, builder.main_pid)
        self._old: list[Generation] = []
        self._burial: Sliced[None] | None = None
        self._late = LateCounts()
        self._reload: Reload | None = None
        self._reloads = (0, 0)  # tried, and failed since the last that was done
        self._reload_wanted = False
        self._ordered: set[signal.Signals] = set()  # not yet obeyed
        self._signals = SignalPipe()
        self._faults = builder.faults
        self._faults.log = first.runtime.log
        self._end: End | None = None
        self._soft_stop_ms: int | None = None
        self._believe_ms = 0
        self._looked_ms = now_ms()
        self._begun_ms = self._looked_ms

    def run(self) -> End:
        """Look after everything until the last child has ended."""
        signals = self._signals
        # Urgent: a signal to the whole group ends children, too, and those shall not come back.
        self._reactor.watch(
            signals.descriptor, lambda now: self._signalled(signals, now), urgent=True
        )
        if self.ping is not None:
            self.ping.watched(self._reactor, self._verdict)
        try:
            while self.current.phase is not Phase.ENDED or self._old or self._burial:
                self._round()
        finally:
            if self.ping is not None:
                self.ping.close(self._reactor)
            self._reactor.forget(signals.descriptor)
            signals.close()
            with self._faults.contained("ending the master CLI"):
                self._orders.close()
        return self._end or End.FAILED

    def _verdict(self) -> str:
        return verdict(self.current.children, stopping=self._end is not None)

    def _round(self) -> None:
        """Take a turn and wait; no exception gets past here, not even that of telling of one."""
        timeout_ms = FAULT_PAUSE_MS
        try:
            self._turn(now_ms())
            timeout_ms = self._timeout_ms(now_ms())
        except Exception as error:
            with suppress(Exception):
                self._faults.tell("taking a turn", error)
        try:
            self._reactor.wait(timeout_ms)
        except Exception as error:
            with suppress(Exception):
                self._faults.tell("waiting", error)

    def _timeout_ms(self, now: int) -> int:
        if self._faults.take():  # it may happen again at once
            return FAULT_PAUSE_MS
        if (self._burial is not None or self._late.busy) and not self._copies:
            return 0
        waits = [generation.timeout_ms(now) for generation in (self.current, *self._old)]
        if self._reload is not None:
            waits.append(self._reload.timeout_ms(now))
        if self._soft_stop_ms is not None:
            waits.append(max(0, self._soft_stop_ms - now))
        return min(self._orders.timeout_ms(now), *waits)

    def _turn(self, now: int) -> None:
        """Everything that time brings; what goes wrong in one part leaves the others alone."""
        contained = self._faults.contained
        judge = self._trusts_beats(now)
        self._look_after_children(now, judge=judge)
        with contained("obeying a signal"):
            if self._ordered:
                self._obey(self._ordered, now)
                self._ordered = set()
        with contained("reloading"):
            self._advance_reload(now)
        with contained("looking after the master CLI"):
            self._orders.turn(now, self.current.runtime, judge=judge)
        if not self._copies:
            with contained("adding what old workers count"):
                self._late.turn(self._old, self.current, now)
            with contained("forgetting old workers"):
                self._bury()
        with contained("looking for children that a tracer holds"):
            look_again()
        with contained("taking the ends of orphans"):
            reap_strangers()
        with contained("waiting for the first workers"):
            if self._when_ready is not None:
                self._await_first(now)
        with contained("stopping softly"):
            if self._soft_stop_ms is not None:
                self._prepare_soft_stop(now)

    @property
    def _copies(self) -> bool:
        """Whether a reload copies the counters, so that no other copying may move them."""
        return self._reload is not None and self._reload.step is Step.HANDING_OVER

    def _look_after_children(self, now: int, *, judge: bool) -> None:
        """Give a turn to each generation that may have something to do."""
        for generation in (self.current, *self._old):
            generation.awaits_older = generation is self.current and bool(self._old)
            if not judge:
                generation.children.pardon(now)
            elif not generation.is_due(now):
                continue
            with self._faults.contained("looking after children"):
                generation.turn(now, judge=judge)

    def _trusts_beats(self, now: int) -> bool:
        """After a pause of the whole machine all beats are late: let the children beat first."""
        if now - self._looked_ms > SUSPECT_AFTER_MS // 2:
            self._believe_ms = now + SUSPECT_AFTER_MS
        self._looked_ms = now
        return now >= self._believe_ms

    def _await_first(self, now: int) -> None:
        """The start succeeds when clients are served; statistics may take a little longer."""
        patience_is_over = now >= self._begun_ms + SERVICES_LIMIT_MS
        children = self.current.children
        if children.ready or (children.workers_ready and patience_is_over):
            when_ready, self._when_ready = self._when_ready, None
            assert when_ready is not None
            when_ready()
            self._notifier.ready()
        elif self._end is None and (
            children.hopeless or now >= self._begun_ms + FIRST_READY_LIMIT_MS
        ):
            self.current.runtime.log(LogLevel.ALERT, NEVER_READY)
            self._stop(End.FAILED, now)

    # -- signals ----------------------------------------------------------------------------------

    def _signalled(self, signals: SignalPipe, now: int) -> None:
        """Do what they say; what was not done, because something was raised, in the next turn."""
        self._ordered |= signals.take()
        self._obey(self._ordered, now)
        self._ordered = set()

    def _obey(self, numbers: set[signal.Signals], now: int) -> None:
        if signal.SIGCHLD in numbers:
            for generation in (self.current, *self._old):
                generation.look_for_stopped(now)
        if signal.SIGINT in numbers:
            self._stop(End.INTERRUPTED, now)
        elif signal.SIGTERM in numbers:
            self._stop(End.TERMINATED, now)
        elif signal.SIGUSR1 in numbers:
            grace_ms = self.current.runtime.settings.globals.grace_ms or 0
            if self._end is None and self._soft_stop_ms is None:
                self._soft_stop_ms = now + grace_ms
        elif numbers.intersection(RELOAD_SIGNALS):
            self._reload_wanted = True

    def _stop(self, end: End, now: int) -> None:
        """End at once, whatever is going on."""
        contained = self._faults.contained
        if self._end in (None, End.SOFT):
            self._end = end
            self._notifier.stopping()
        with contained("abandoning a reload"):
            self._abandon_reload(now)
        for generation in (self.current, *self._old):
            with contained("stopping workers"):
                generation.stop(now)

    def _prepare_soft_stop(self, now: int) -> None:
        """During `grace` clients are accepted, while `stopping` and /ready tell that it ends."""
        segment = self.current.runtime.segment  # a reload that is done meanwhile brings another
        if not segment.stopping_ms:
            segment.stops(now, 0)
        if self._soft_stop_ms is not None and now >= self._soft_stop_ms:
            self._soft_stop_ms = None
            self._begin_soft_stop(now)

    def _begin_soft_stop(self, now: int) -> None:
        if self._end is not None:
            return
        self._end = End.SOFT
        self._notifier.stopping()
        self._abandon_reload(now)
        if self.current.phase is Phase.RUNNING:
            told = "stopping softly: no new connections are accepted"
            self.current.runtime.log(LogLevel.WARNING, told)
            runtime, held = self.current.runtime, self.current.sockets.held
            items = sockets_of_clients(runtime, held.values())
            closing = self._builder.given.closing(items, runtime)
            self.current.soft_stop(closing, now, keep_control=True)

    # -- reload -----------------------------------------------------------------------------------

    def _advance_reload(self, now: int) -> None:
        if self._reload is not None:
            self._reload.turn(now)
            if self._reload.step is Step.DONE:
                self._conclude_reload(self._reload, now)
        if self._reload is not None or self._when_ready is not None:
            return
        ordered = self._orders.pending
        if self._end is not None or self._soft_stop_ms is not None:
            if ordered:
                self._orders.take()
                self._orders.refuse(STOPPING)
        elif self._reload_wanted or ordered:
            self._begin_reload(now)
            self._reload_wanted = False

    def _begin_reload(self, now: int) -> None:
        log = self.current.runtime.log
        log(LogLevel.NOTICE, "reloading")
        self._notifier.reloading()
        try:
            self._orders.take()
            self._reload = Reload(
                self.current,
                self._read,
                self._builder,
                self._faults,
                now,
                older=lambda: self._old,
                elders=self._elders,
            )
        except Exception as error:
            note_failure(self.current.runtime.segment)
            log(LogLevel.ALERT, f"reload failed, nothing changed: {explain(error)}")
            self._orders.refuse(explain(error))
            self._count_reload(succeeded=False)
            self._notifier.ready()

    def _elders(self, number: int) -> tuple[Runtime, ...]:
        """The generations before that one that serve, or finish their sessions; oldest first."""
        ending = (Phase.ENDING, Phase.ENDED)
        return tuple(
            each.runtime
            for each in (*self._old, self.current)
            if each.number < number and each.phase not in ending
        )

    def _count_reload(self, *, succeeded: bool) -> None:
        """For `show proc`, in the generation that is in force now."""
        tried, failed = self._reloads
        self._reloads = tried + 1, 0 if succeeded else failed + 1
        self.current.runtime.segment.count_reloads(*self._reloads)

    def _conclude_reload(self, reload: Reload, now: int) -> None:
        if reload.succeeded:
            assert reload.new is not None
            if self.current is not reload.new:
                if self.current not in self._old:
                    self._old.append(self.current)
                self.current = reload.new
            self._faults.log = reload.new.runtime.log
            self._late.start_anew()
        elif reload.new is not None and reload.new not in self._old:
            self._old.append(reload.new)
        if reload.succeeded and self._orders.hard:
            for old in self._old:
                old.stop(now)
        self._count_reload(succeeded=reload.succeeded)
        self._orders.settle(reload.report, succeeded=reload.succeeded)
        self._reload = None
        self._notifier.ready()
        self._end_oldest(now)

    def _end_oldest(self, now: int) -> None:
        """`mworker-max-reloads`; without it no number of reloads ends a session."""
        limit = self.current.runtime.settings.globals.reloads_max
        if limit is None:
            return
        for old in self._old:
            number, newest = old.number, self.current.number
            if old.phase is not Phase.ENDING and newest - number > limit:
                sessions = CounterReader(old.runtime.segment).sessions()
                self.current.runtime.log(
                    LogLevel.WARNING,
                    f"mworker-max-reloads {limit}: ending {sessions} sessions of generation "
                    f"{number}, which is {newest - number} reloads old",
                )
                old.stop(now)

    def _abandon_reload(self, now: int) -> None:
        if self._reload is None:
            return
        reload, self._reload = self._reload, None
        self._orders.refuse(STOPPING)
        reload.abandon(now)
        if reload.new is not None:
            self._old.append(reload.new)

    def _bury(self) -> None:
        """Forget one ended generation after the other, each in slices.

        What is raised ends that; the next turn begins anew with what is not closed yet.
        """
        if self._burial is None:
            dead = Phase.ENDED  # looked up once: there may be a hundred of them
            ended = next((old for old in self._old if old.phase is dead), None)
            if ended is None:
                return
            self._burial = Sliced(self._burying(ended))
        burial, self._burial = self._burial, None  # none, if this raises
        if not burial.advance():
            self._burial = burial

    def _burying(self, generation: Generation) -> Steps[None]:
        """Add what it has counted since the last time; give everything back."""
        self._late.leave(generation)
        yield from adding(generation, self.current)
        generation.carried = None
        self._old.remove(generation)  # its segment must not be looked at any more
        generation.close()
        resolverd = generation.runtime.settings.resolverd
        parts = [*generation.runtime.servers, *resolverd.resolutions, *resolverd.addressed]
        del generation, resolverd
        yield
        while parts:  # all at once they would take long
            del parts[-PORTION:]
            yield
