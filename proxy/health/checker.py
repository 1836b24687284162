"""One process's health checks on its event loop: what its slots say, what to tell.

Owns the health records of the process's part of the slots. rounds.pyx begins and judges each check,
by attempts of its own (check.pyx in a worker, proxy/runner/programs.py in the runner); here is what
happens more seldom: looks at records, orders, changes, news. Decides nothing itself: rise_fall says
what they mean for health. Must not know the relay.

A check speaks of the address it was aimed at: when the slot's records name another one at its end,
the outcome is dropped. Records left by a former worker are carried on where they speak of the
slot's present incarnation.

Each server is checked in its own time, whatever the others do: as a rule all checks of the part
may be under way at once. Where descriptors are too few for that (proxy/capacity.py), or programs
more than run at once, servers that are likely to keep theirs long have half of the places at the
most: a dead rack delays the checks of the living by no more than what it takes to find out that it
is dead.

Servers whose records changed, and at first all of them, are looked at in portions, between which
everything else of the loop has its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random

from msgspec.structs import replace

from proxy.health import report, rise_fall
from proxy.health.agents import Agents
from proxy.health.alarm import Alarm
from proxy.health.attempts import A, Attempts
from proxy.health.check import Connects, Plan, RunningCheck
from proxy.health.dialect.dialects import Dialects
from proxy.health.dialect.seam import Subject
from proxy.health.judgement import Change
from proxy.health.news import News
from proxy.health.observation import Observation
from proxy.health.part import Part, worker_part
from proxy.health.report import cut
from proxy.health.rise_fall import Sight
from proxy.health.rounds import Rounds
from proxy.health.server_states import ServerStates
from proxy.health.share import CheckedServer, server_tls
from proxy.health.target import target_of
from proxy.health.timetable import first_due_ms
from proxy.health.watched import Watched
from proxy.runtime import Runtime, now_ms
from shm.changes import ChangeReader, UsableServers
from shm.check_texts import CheckTextWriter
from shm.slots import SlotTableReader
from shm.states import AgentState, HealthOrder, HealthState, ServerState

LOOKS_AT_ONCE = 100  # servers, in about 2 ms


class PartChecker(Rounds[A]):
    """Checks one process's part of the servers; everything happens on the thread of `loop`.

    Changes of records count from the moment this is made.
    """

    def __init__(
        self,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop,
        attempts: Attempts[A],
        part: Part,
    ) -> None:
        self._globals = runtime.settings.globals
        mine = part.mine
        super().__init__(
            runtime.segment,
            attempts,
            len(mine),
            part.checks_max,
            self._globals.spread_checks_percent,
            Random(part.seed),
        )
        self._tls_contexts = runtime.tls_contexts
        self._orders = runtime.check_orders
        self._reader = SlotTableReader(runtime.segment)
        self._changes = ChangeReader(runtime.segment)
        self._texts = CheckTextWriter(runtime.segment)
        self._dialects = Dialects(
            runtime.segment, runtime.main_pid, runtime.every_list, row=part.row
        )
        usable = UsableServers(runtime.segment)
        self._server_states = ServerStates(runtime, self._reader, usable)
        self._news = News(runtime, usable, part.requests)
        self._loop = loop
        self._alarm = Alarm(loop, self._turn)
        self._agents = Agents(runtime, loop, self._news, self, part.agents_max)
        self._asked = self._is_down, self._state_text  # by dialects: one object for all servers
        self._observation = Observation(runtime.segment, mine)
        self._new = deque(mine)  # to be looked at for the first time
        self._changed: deque[int] = deque()  # slots to be looked at again
        self._next_portion: asyncio.Handle | None = None
        self._began_ms = now_ms()

    def start(self) -> None:
        """Begin to check."""
        self._loop.add_reader(self._attempts.fileno(), self._turn)
        self._agents.start()
        self._look_on()

    def stop(self) -> None:
        """Check no more; a worker that only finishes its sessions has no use for health."""
        self._loop.remove_reader(self._attempts.fileno())
        self._alarm.cancel()
        if self._next_portion is not None:
            self._next_portion.cancel()
        self._attempts.close()
        self._agents.stop()
        self._news.tell()

    def take(self, server: CheckedServer) -> None:
        """Check one more server, which was added."""
        self._observation.take(server)
        self._new.append(server)
        self._share_places(len(self._watched) + len(self._new))
        self._look_soon()

    def drop(self, slot: int) -> None:
        """Check a server no more, which was deleted; what is under way comes to nothing."""
        self._observation.drop(slot)
        self._agents.drop(slot)
        self._new = deque(server for server in self._new if server.slot != slot)
        while slot in self._changed:
            self._changed.remove(slot)
        self._forget(slot)

    def look(self) -> None:
        """Records may have changed, or sessions had too many errors in a row: act on it soon."""
        slots = self._changes.slots()
        mine = self._watched if slots is None else [s for s in slots if s in self._watched]
        self._changed.extend(mine)
        self._look_soon()

    def _look_soon(self) -> None:
        if self._next_portion is None:
            self._look_on()

    def _look_on(self) -> None:
        """Look at the next servers; at the rest when everything else of the loop had its turn."""
        self._next_portion = None
        for _ in range(LOOKS_AT_ONCE):
            if self._new:
                self._first_look(self._new.popleft())
            elif self._changed:
                watched = self._watched[self._changed.popleft()]
                if watched.server.agent is not None:
                    self._agents.look(watched.server.slot)
                self._observe(watched)
                if self._observation.over_limit(watched.server.slot):
                    self._act_on_errors(watched)
            else:
                break
        if self._new or self._changed:
            self._next_portion = self._loop.call_soon(self._look_on)
        self._arm()
        self._agents.arm()
        self._news.tell()

    def observe(self, slot: int) -> None:
        """The agent of a server has changed records of it."""
        self._observe(self._watched[slot])
        self._arm()

    def heard(self, slot: int, said: AgentState, text: str, *, ordered: bool) -> None:
        """The agent of a server, or the operator for it, has said that it is down or up."""
        watched, at_ms = self._watched[slot], now_ms()
        former = watched.state
        if said.down:
            watched.state, change = rise_fall.taken_down(former, at_ms)
        else:
            watched.state, change = rise_fall.brought_up(
                former,
                watched.server.thresholds,
                at_ms,
                by_check=watched.has_check,
                ordered=ordered,
            )
        if change is not Change.NONE:
            self._writer.publish(slot, watched.state, changed=True)
            self._news.changed(
                watched.server, former, watched.state, text=text, ordered=ordered, agent=said
            )

    def _act_on_errors(self, watched: Watched[A]) -> None:
        """Count too many errors of sessions in a row as the server's line says."""
        slot, check, at_ms = watched.server.slot, watched.server.check, now_ms()
        former = watched.state
        watched.state, change = rise_fall.analyzed(
            former, watched.server.thresholds, check.on_error, at_ms
        )
        text = report.errors_text(check.error_limit)
        if watched.state != former:
            self._texts.publish(slot, text, watched.state.checked_ms)
            self._writer.publish(slot, watched.state, changed=change is not Change.NONE)
        if check.fastinter_ms is not None:
            self._timetable.hasten(slot, at_ms + check.fastinter_ms)
        self._tell(watched, former, change, text)

    def _first_look(self, server: CheckedServer) -> None:
        """Carry on from the record in the segment where it speaks of this server, or start anew."""
        slot, at_ms = server.slot, now_ms()
        revision = self._reader.revision(slot)
        try:
            record, view = self._reader.health(slot), self._reader.server(slot)
            if server.agent is not None:
                self._agents.adopt(server)
        except BlockingIOError:
            self._new.append(server)
            return
        subject = Subject(*self._asked, slot, server.name, server.id)
        dialect = self._dialects.of(
            server.rules, server.backend_index, server.explicit_header, subject
        )
        watched: Watched[A] = Watched(server, record, dialect)
        self._watched[slot] = watched
        watched.revision = revision
        self._see(watched, view, at_ms)
        carried = watched.state.incarnation == record.incarnation != 0
        changed = carried and watched.state.operational != record.operational
        self._writer.publish(slot, watched.state, changed=changed)
        self._timetable.place(slot, self._first_due_ms(watched, carried, at_ms))
        if watched.target is None:
            self._timetable.pause(slot)

    def _is_down(self, slot: int) -> bool:
        return self._watched[slot].is_down

    def _state_text(self, slot: int) -> str:
        watched = self._watched[slot]
        return self._server_states.text(watched.server, watched.state, now_ms())

    def _first_due_ms(self, watched: Watched[A], carried: bool, at_ms: int) -> int:
        """Where a former worker's timetable had it, else spread over the interval."""
        checked_ms, span_ms = watched.state.checked_ms, watched.interval_ms
        if carried and checked_ms != 0 and at_ms < checked_ms + 2 * span_ms:
            return max(at_ms, checked_ms + span_ms)
        if self._globals.max_spread_checks_ms is not None:
            span_ms = min(span_ms, self._globals.max_spread_checks_ms)
        return first_due_ms(self._began_ms, span_ms, watched.server.position, watched.server.count)

    def _see(self, watched: Watched[A], view: ServerState, at_ms: int) -> Change:
        """Take in what the slot's records say; what an order of the operator has changed."""
        aimed = self._orders.read(watched.server.slot)
        watched.target = target_of(watched.server, view, aimed)
        agent_down = self._agents.is_down(watched.server.slot)
        sight = Sight(view.incarnation, view.generation, watched.target is not None, agent_down)
        watched.state = rise_fall.seen(watched.state, watched.server.thresholds, sight, at_ms)
        watched.has_check = watched.server.checked and not view.check_off
        if not watched.has_check and watched.target is not None:
            watched.target = None
            if watched.attempt is not None:
                watched.state = replace(watched.state, check_state=rise_fall.IDLE)
        if view.health_orders == watched.state.orders_taken:
            return Change.NONE
        order = HealthOrder(view.health_order)
        watched.state, change = rise_fall.ordered(
            watched.state, watched.server.thresholds, order, view.health_orders, at_ms
        )
        return change

    def _observe(self, watched: Watched[A]) -> bool:
        """Bring one server in line with its slot; True when it is another, elsewhere, or paused."""
        slot, at_ms = watched.server.slot, now_ms()
        former, former_target = watched.state, watched.target
        revision = self._reader.revision(slot)
        try:
            ordered = self._see(watched, self._reader.server(slot), at_ms)
        except BlockingIOError:
            return False  # what was known still holds; the next check finds the rest
        watched.revision, state = revision, watched.state
        if state == former and watched.target == former_target:
            return False
        same = state.incarnation == former.incarnation
        changed = same and state.operational != former.operational
        self._writer.publish(slot, state, changed=changed)
        if ordered is not Change.NONE:
            self._news.changed(watched.server, former, state, ordered=True)
        if same and state.generation == former.generation and watched.target == former_target:
            return False  # what was ordered or said of the server: a check under way goes on
        self._replan(watched, at_ms)
        return True

    def _replan(self, watched: Watched[A], at_ms: int) -> None:
        """Drop what is under way to the former address; check the present one in its phase."""
        slot = watched.server.slot
        if watched.attempt is not None:
            self._attempts.abandon(watched.attempt)
            self._release(watched)
        if watched.target is None:
            self._timetable.pause(slot)
        elif not self._timetable.plans(slot):
            self._timetable.resume(slot, at_ms, watched.server.check.inter_ms)

    def _planned(self, watched: Watched[A]) -> Plan:
        """How a server is checked at its present target."""
        server = watched.server
        assert watched.target is not None, f"slot {server.slot} has no target"
        tls = server_tls(server.check.tls, self._tls_contexts)
        header = server.check.proxy_header
        return Plan(watched.target, server.limits, server.source, header, tls)

    def _said(self, slot: int, text: str, checked_ms: int) -> str:
        """Publish what a check says, before its record; as much of it as is kept."""
        text = cut(text)
        if text:
            self._texts.publish(slot, text, checked_ms)
        return text

    def _tell(
        self, watched: Watched[A], former: HealthState, change: Change, text: str, logged: str = ""
    ) -> None:
        """Log how a check ended, or what errors of sessions meant, then what it changed.

        `logged` stands in the line of a check that has no text.
        """
        state = watched.state
        is_news = former.status != state.status or former.health != state.health
        if watched.server.log_checks and is_news:
            self._news.checked(watched.server, state, text or cut(logged))
        if change is not Change.NONE:
            self._news.changed(watched.server, former, state, text=text)

    def _arm(self) -> None:
        """Let the alarm wake us for the next due check or deadline, whichever comes first."""
        self._alarm.arm(self._attempts, self._timetable, self._in_flight_max)


class Checker(PartChecker[RunningCheck]):
    """The checks of a worker."""

    def __init__(self, runtime: Runtime, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        connects = Connects(never_local=runtime.settings.globals.checks_never_local)
        super().__init__(runtime, loop, connects, worker_part(runtime, worker))
