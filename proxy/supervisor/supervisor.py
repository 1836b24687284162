"""The supervisor's loop: signals and ends of processes in, steps of generations out.

No thread takes part, no event loop library. It forwards nothing and resolves nothing; whatever may
block is done by helper children, and writes to log files by threads (proxy/log_thread.pyx). `run`
returns how the program is to end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress

from proxy.builds.succession import settle
from proxy.runtime import now_ms
from proxy.supervisor.build import Builder
from proxy.supervisor.burial import Burial, elders, end_oldest
from proxy.supervisor.departure import Closing
from proxy.supervisor.end import End
from proxy.supervisor.estate import EstateRecord
from proxy.supervisor.faults import NEVER_READY, explain
from proxy.supervisor.former import Former
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.giving import sockets_of_clients
from proxy.supervisor.inheriting import Inheriting, InheritingError
from proxy.supervisor.late_counts import LateCounts
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
from proxy.supervisor.reload import Read, Reload, ReloadCounts, Step, note_failure
from proxy.supervisor.signals import SignalPipe
from proxy.supervisor.upgrades import STOPPING, Upgrades
from shm.log_level import LogLevel

RELOAD_SIGNALS = (signal.SIGUSR2, signal.SIGHUP)


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
        former: Former | None = None,
    ) -> None:
        """Nothing is forked yet, but signals are taken. `when_ready` is called once.

        `former` is the program that this one goes on from.
        """
        self.ping: PingSocket | None = None  # with a pid file
        self.current = first
        self.builder = builder
        self.reactor = builder.reactor
        self._read = read
        self.notifier = notifier
        self._when_ready: Callable[[], None] | None = when_ready
        self.orders = OrderedReloads(master, builder.main_pid)
        self.old: list[Generation | Former] = [] if former is None else [former]
        self._late = LateCounts()
        self._burial = Burial(self.old, self._late)
        self._inheriting = None if former is None else Inheriting(former, first, self.old)
        self._upgrades = Upgrades(self)
        self._reload: Reload | None = None
        self._reloads = ReloadCounts()
        self._reload_wanted = False
        self.ordered: set[signal.Signals] = set()  # not yet obeyed
        self._signals = SignalPipe()
        self._faults = builder.faults
        self._faults.log = first.runtime.log
        self._end: End | None = None
        self.soft_stop_ms: int | None = None
        self._believe_ms = 0
        self._looked_ms = self._begun_ms = now_ms()

    def run(self) -> End:
        """Look after everything until the last child has ended."""
        # Urgent: a signal to the whole group ends children, too, and those shall not come back.
        self.reactor.watch(self._signals.descriptor, self._signalled, urgent=True)
        self.answer_pings(self.ping)
        try:
            while self._lives:
                self._round()
        finally:
            self._upgrades.end_if_handed_over()
            if self.ping is not None:
                self.ping.close(self.reactor)
            self.reactor.forget(self._signals.descriptor)
            self._signals.close()
            with self._faults.contained("ending the master CLI"):
                if not self.yields:
                    self.orders.close()
        return self._end or End.FAILED

    @property
    def yields(self) -> bool:
        """Whether the former program goes on, with paths and all, because this one has failed."""
        return self._inheriting is not None and self._end is End.FAILED

    @property
    def _lives(self) -> bool:
        older = bool(self.old) and not self.yields
        busy = self._burial.goes_on or self._upgrades.owes
        return self.current.phase is not Phase.ENDED or older or busy

    def goes_on_from(self, record: EstateRecord, failed: str) -> None:
        """A former program did until now; `failed`: why another build does not."""
        assert self._inheriting is not None
        self._inheriting.begin(self.reactor, failed)
        self.current.runtime.segment.note_reloads(record.failures)
        self._reloads = ReloadCounts(*record.reloads)

    def answer_pings(self, ping: PingSocket | None) -> None:
        """From now on."""
        self.ping = ping
        if ping is not None:
            ping.watched(self.reactor, self._verdict)

    def living(self) -> list[Generation]:
        """The generations of this program before the current one, oldest first."""
        return [each for each in self.old if isinstance(each, Generation)]

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
            self.reactor.wait(timeout_ms)
        except Exception as error:
            with suppress(Exception):
                self._faults.tell("waiting", error)

    def _timeout_ms(self, now: int) -> int:
        if self._faults.take():  # it may happen again at once
            return FAULT_PAUSE_MS
        if (self._burial.goes_on or self._late.busy) and not self._copies:
            return 0
        waits = [each.timeout_ms(now) for each in (self.current, *self.old, self._upgrades)]
        if self._reload is not None:
            waits.append(self._reload.timeout_ms(now))
        if self.soft_stop_ms is not None:
            waits.append(max(0, self.soft_stop_ms - now))
        return min(self.orders.timeout_ms(now), *waits)

    def _turn(self, now: int) -> None:
        """Everything that time brings; what goes wrong in one part leaves the others alone."""
        contained = self._faults.contained
        judge = self._trusts_beats(now)
        self._look_after_children(now, judge=judge)
        with contained("obeying a signal"):
            self._obey_all(now)
        with contained("reloading"):
            self._advance_reload(now)
        with contained("looking after the master CLI"):
            if self._inheriting is None:
                self.orders.turn(now, self.current.runtime, judge=judge)
        with contained("handing over to another build"):
            self._upgrades.turn(now)
        if not self._copies:
            with contained("adding what old workers count"):
                self._late.turn(self.old, self.current, now)
            with contained("forgetting old workers"):
                self._burial.turn(self.current)
        with contained("looking for children that a tracer holds"):
            look_again()
        with contained("taking the ends of orphans"):
            reap_strangers()
        with contained("waiting for the first workers"):
            if self._inheriting is not None:
                self._inherit(self._inheriting, now)
            elif self._when_ready is not None:
                self._await_first(now)
        with contained("stopping softly"):
            if self.soft_stop_ms is not None and self._inheriting is None:
                self._prepare_soft_stop(now)

    @property
    def _copies(self) -> bool:
        """Whether a reload copies the counters, so that no other copying may move them."""
        return self._reload is not None and self._reload.step is Step.HANDING_OVER

    def _look_after_children(self, now: int, *, judge: bool) -> None:
        """Give a turn to each generation that may have something to do."""
        for generation in (self.current, *self.old):
            generation.awaits_older = generation is self.current and bool(self.old)
            if not judge and isinstance(generation, Generation):
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
        patient = now < self._begun_ms + SERVICES_LIMIT_MS
        children = self.current.children
        if children.ready or (children.workers_ready and not patient):
            self._serves()
        elif self._end is None and (
            children.hopeless or now >= self._begun_ms + FIRST_READY_LIMIT_MS
        ):
            self.current.runtime.log(LogLevel.ALERT, NEVER_READY)
            self.stop(End.FAILED, now)

    def _serves(self) -> None:
        when_ready, self._when_ready = self._when_ready or (lambda: None), None
        when_ready()
        self.notifier.ready()

    def _inherit(self, inheriting: Inheriting, now: int) -> None:
        """The same, where the former program has to give way before."""
        try:
            if self._end is not None or not inheriting.turn(now):
                return
            inheriting.conclude(now)
        except Exception as error:
            text = str(error) if isinstance(error, InheritingError) else explain(error)
            self.current.runtime.log(LogLevel.ALERT, f"cannot take over: {text}")
            inheriting.former.serve_on()
            self.stop(End.FAILED, now)
        else:
            self._inheriting = None
            self._reloads.count(self.current.runtime.segment, succeeded=not inheriting.failed)
            self._serves()
            inheriting.tell()

    def _signalled(self, now: int) -> None:
        """Do what they say; what was not done, because something was raised, in the next turn."""
        self.ordered |= self._signals.take()
        self._obey_all(now)

    def _obey_all(self, now: int) -> None:
        self._obey(self.ordered, now)
        self.ordered = set()

    def _obey(self, numbers: set[signal.Signals], now: int) -> None:
        if signal.SIGCHLD in numbers:
            for generation in (self.current, *self.old):
                generation.look_for_stopped(now)
        if signal.SIGINT in numbers:
            self.stop(End.INTERRUPTED, now)
        elif signal.SIGTERM in numbers:
            self.stop(End.TERMINATED, now)
        elif signal.SIGUSR1 in numbers:
            grace_ms = self.current.runtime.settings.globals.grace_ms or 0
            if self._end in (None, End.FAILED) and self.soft_stop_ms is None:
                self.soft_stop_ms = now + grace_ms
        elif numbers.intersection(RELOAD_SIGNALS):
            self._reload_wanted = True

    def stop(self, end: End, now: int) -> None:
        """End at once, whatever is going on."""
        contained = self._faults.contained
        if self._end in (None, End.SOFT):
            self._end = end
            self.notifier.stopping()
            if end is not End.FAILED:
                settle()  # it ends as it was told: nothing is to go on in its place
        with contained("abandoning a reload"):
            self._abandon_reload(now)
        for generation in (self.current, *(() if self.yields else self.old)):
            with contained("stopping workers"):
                generation.stop(now)

    def _prepare_soft_stop(self, now: int) -> None:
        """During `grace` clients are accepted, while `stopping` and /ready tell that it ends."""
        segment = self.current.runtime.segment  # a reload that is done meanwhile brings another
        if not segment.stopping_ms:
            segment.stops(now, 0)
        if self.soft_stop_ms is not None and now >= self.soft_stop_ms:
            self.soft_stop_ms = None
            self._begin_soft_stop(now)

    def _begin_soft_stop(self, now: int) -> None:
        if self._end is not None:
            return
        self._end = End.SOFT
        self.notifier.stopping()
        self._abandon_reload(now)
        if self.current.phase is Phase.RUNNING:
            told = "stopping softly: no new connections are accepted"
            self.current.runtime.log(LogLevel.WARNING, told)
            runtime, held = self.current.runtime, self.current.sockets.held
            items = sockets_of_clients(runtime, held.values())
            closing = self.builder.given.closing(items, runtime)
            self.current.soft_stop(closing, now, keep_control=True)

    def _advance_reload(self, now: int) -> None:
        if self._reload is not None:
            self._reload.turn(now)
            self._follow_reload(self._reload, now)
        if self._reload is not None or self._when_ready is not None or self._upgrades.goes_on:
            return
        ordered = self.orders.pending
        if self._end is not None or self.soft_stop_ms is not None:
            if ordered:
                self.orders.take()
                self.orders.refuse(STOPPING)
        elif self._reload_wanted or ordered:
            if self._upgrades.wanted():
                self._upgrades.begin(now)
            else:
                self._begin_reload(now)
            self._reload_wanted = False

    def _begin_reload(self, now: int) -> None:
        log = self.current.runtime.log
        log(LogLevel.NOTICE, "reloading")
        self.notifier.reloading()
        try:
            self.orders.take()
            self._reload = Reload(
                self.current,
                self._read,
                self.builder,
                self._faults,
                now,
                older=self.living,
                elders=lambda number: elders(self.old, self.current, number),
            )
        except Exception as error:
            self.fail_reload([explain(error)])

    def fail_reload(self, reasons: list[str]) -> None:
        """One ends before it has begun, for the last of these reasons."""
        note_failure(self.current.runtime.segment)
        for text in (*reasons[:-1], f"reload failed, nothing changed: {reasons[-1]}"):
            self.current.runtime.log(LogLevel.ALERT, text)
        self.orders.refuse(" | ".join(reasons))
        self._reloads.count(self.current.runtime.segment, succeeded=False)
        self.notifier.ready()

    def finish_sessions(self, closing: Closing, now: int) -> None:
        """Another program serves: nothing is accepted any more, sessions go on to their end."""
        self._end = End.SOFT
        self.current.soft_stop(closing, now)

    def _follow_reload(self, reload: Reload, now: int) -> None:
        if reload.succeeded and self.current is not reload.new:
            assert reload.new is not None
            if self.current not in self.old:
                self.old.append(self.current)
            self.current = reload.new
            self._faults.log = reload.new.runtime.log
            self._late.start_anew()
            for old in self.old if self.orders.hard else ():
                old.stop(now)
        if reload.step is Step.DONE:
            self._conclude_reload(reload, now)

    def _conclude_reload(self, reload: Reload, now: int) -> None:
        if not reload.succeeded and reload.new is not None and reload.new not in self.old:
            self.old.append(reload.new)
        self._reloads.count(self.current.runtime.segment, succeeded=reload.succeeded)
        self.orders.settle(reload.report, succeeded=reload.succeeded)
        self._reload = None
        self.notifier.ready()
        end_oldest(self.old, self.current, now)

    def _abandon_reload(self, now: int) -> None:
        self._upgrades.abandon()
        if self._reload is None:
            return
        reload, self._reload = self._reload, None
        reload.abandon(now)
        if reload.succeeded:
            self.orders.settle(reload.report, succeeded=True)
            return
        self.orders.refuse(STOPPING)
        if reload.new is not None:
            self.old.append(reload.new)
