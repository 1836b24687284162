"""One process's health checks on its event loop: what is due, what ended, what to tell.

Owns the health records of the process's part of the slots. Decides nothing itself: rise_fall says
what an outcome means, timetable when a check is due, its attempts make the checks (check.py in a
worker, proxy/runner/programs.py in the runner), news tells others. Must not know the relay.

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
from functools import partial
from random import Random
from typing import Generic

from msgspec.structs import replace

from proxy.health import report, rise_fall
from proxy.health.agents import Agents
from proxy.health.alarm import Alarm
from proxy.health.attempts import A, Attempts
from proxy.health.check import Plan
from proxy.health.dialect.dialects import Dialects
from proxy.health.dialect.seam import Subject
from proxy.health.news import News
from proxy.health.observation import Observation
from proxy.health.part import Part
from proxy.health.rise_fall import Change, Outcome, Sight
from proxy.health.server_states import ServerStates
from proxy.health.share import CheckedServer, server_tls
from proxy.health.timetable import Timetable, spread_ms
from proxy.health.watched import Watched, cut, first_check_ms, target_of
from proxy.runtime import Runtime, now_ms
from shm.changes import ChangeReader, UsableServers
from shm.check_texts import CheckTextWriter
from shm.slots import HealthTableWriter, SlotTableReader
from shm.states import AgentState, HealthOrder, ServerState

LOOKS_AT_ONCE = 100  # servers, in about 2 ms
CHECKS_AT_ONCE = 100  # ended, expired and begun in one turn of the loop each: about 5 ms together


class PartChecker(Generic[A]):
    """Checks one process's part of the servers; everything happens on the thread of `loop`.

    Changes of records count from the moment this is made. `late` counts checks that had to wait
    for a place among those under way.
    """

    def __init__(
        self,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop,
        attempts: Attempts[A],
        part: Part,
    ) -> None:
        self.late = 0
        self._globals = runtime.settings.globals
        self._tls_contexts = runtime.tls_contexts
        self._reader = SlotTableReader(runtime.segment)
        self._writer = HealthTableWriter(runtime.segment)
        self._changes = ChangeReader(runtime.segment)
        self._texts = CheckTextWriter(runtime.segment)
        self._dialects = Dialects(runtime.segment, runtime.main_pid, runtime.every_list)
        usable = UsableServers(runtime.segment)
        self._server_states = ServerStates(runtime, self._reader, usable)
        self._news = News(runtime, usable, part.requests)
        self._loop = loop
        self._random = Random(part.seed)
        self._attempts = attempts
        self._timetable = Timetable()
        self._waiting_slow: deque[int] = deque()  # due; begun when another slow server's ends
        self._slow_in_flight = 0
        self._alarm = Alarm(loop, self._turn)
        self._watched: dict[int, Watched[A]] = {}
        mine = part.mine
        self._in_flight_max = part.checks_max
        self._agents = Agents(runtime, loop, self._news, self, part.agents_max)
        enough = self._in_flight_max >= len(mine)
        self._slow_max = self._in_flight_max if enough else self._in_flight_max // 2
        self._full_ms = 0  # when there was no place for a check the last time
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
        if len(self._watched) >= self._in_flight_max:
            self._slow_max = self._in_flight_max // 2
        self._look_soon()

    def drop(self, slot: int) -> None:
        """Check a server no more, which was deleted; what is under way comes to nothing."""
        self._observation.drop(slot)
        self._new = deque(server for server in self._new if server.slot != slot)
        for queue in (self._changed, self._waiting_slow):
            while slot in queue:
                queue.remove(slot)
        watched = self._watched.pop(slot, None)
        self._timetable.forget(slot)
        if watched is not None and watched.attempt is not None:
            self._attempts.abandon(watched.attempt)
            self._release(watched)

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
                former, watched.thresholds, at_ms, by_check=watched.has_check, ordered=ordered
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
            former, watched.thresholds, check.on_error, at_ms
        )
        text = report.errors_text(check.error_limit)
        if watched.state is not former:
            self._texts.publish(slot, text, watched.state.checked_ms)
            self._writer.publish(slot, watched.state, changed=change is not Change.NONE)
        if check.fastinter_ms is not None:
            self._timetable.hasten(slot, at_ms + check.fastinter_ms)
        self._news.judged(watched.server, former, watched.state, change, text=text)

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
        subject = Subject(
            partial(self._is_down, slot),
            partial(self._state_text, slot),
            slot,
            server.name,
            server.id,
        )
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
        due_ms = first_check_ms(watched, self._globals, self._began_ms, at_ms, carried=carried)
        self._timetable.place(slot, due_ms)
        if watched.target is None:
            self._timetable.pause(slot)

    def _is_down(self, slot: int) -> bool:
        return rise_fall.is_down(self._watched[slot].state)

    def _state_text(self, slot: int) -> str:
        watched = self._watched[slot]
        return self._server_states.text(watched.server, watched.state, now_ms())

    def _see(self, watched: Watched[A], view: ServerState, at_ms: int) -> Change:
        """Take in what the slot's records say; what an order of the operator has changed."""
        watched.target = target_of(watched.server, view)
        agent_down = self._agents.is_down(watched.server.slot)
        sight = Sight(view.incarnation, view.generation, watched.target is not None, agent_down)
        watched.state = rise_fall.seen(watched.state, watched.thresholds, sight, at_ms)
        watched.has_check = watched.server.checked and not view.check_off
        if not watched.has_check and watched.target is not None:
            watched.target = None
            if watched.attempt is not None:
                watched.state = replace(watched.state, check_state=rise_fall.IDLE)
        if view.health_orders == watched.state.orders_taken:
            return Change.NONE
        order = HealthOrder(view.health_order)
        watched.state, change = rise_fall.ordered(
            watched.state, watched.thresholds, order, view.health_orders, at_ms
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
        if state is former and watched.target == former_target:
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

    def _turn(self) -> None:
        """Judge what ended, then what ran out of time, start what is due, tell others.

        What is too much for one turn comes with the next: all of it is still due.
        """
        if len(self._attempts) >= self._in_flight_max:
            self._full_ms = now_ms()  # what was due until now had to wait
        self._end(self._attempts.ended(CHECKS_AT_ONCE))
        self._end(self._attempts.expired(now_ms(), CHECKS_AT_ONCE))
        self._begin_due()
        self._arm()
        self._news.tell()

    def _end(self, ended: list[tuple[A, Outcome]]) -> None:
        """Judge the outcomes that still speak of their server."""
        for attempt, outcome in ended:
            watched = self._watched[attempt.slot]
            assert watched.attempt is attempt, f"slot {attempt.slot} has another check under way"
            self._release(watched)
            if not (self._is_stale(watched) and self._observe(watched)):
                self._judge(watched, outcome, attempt.began_ms)

    def _is_stale(self, watched: Watched[A]) -> bool:
        """Whether records of the slot changed since the last look."""
        return watched.revision != self._reader.revision(watched.server.slot)

    def _begin_due(self) -> None:
        """Start what is due, within the limits; the rest starts when others end."""
        at_ms = now_ms()
        for _ in range(CHECKS_AT_ONCE):
            if len(self._attempts) >= self._in_flight_max:
                self._full_ms = at_ms
                break
            slow_allowed = self._slow_in_flight < self._slow_max
            if self._waiting_slow and slow_allowed:
                self._begin(self._watched[self._waiting_slow.popleft()])
                continue
            due_ms = self._timetable.next_ms()
            slot = self._timetable.take(at_ms)
            if slot is None:
                break
            waits = self._watched[slot].slow and not slow_allowed
            self.late += waits or (due_ms is not None and due_ms <= self._full_ms)
            if waits:
                self._waiting_slow.append(slot)
            else:
                self._begin(self._watched[slot])

    def _begin(self, watched: Watched[A]) -> None:
        """Start one check, aimed by what the records say at this moment."""
        if self._is_stale(watched):
            self._observe(watched)
        if watched.target is None or watched.attempt is not None:
            return  # paused meanwhile, or begun after it had waited
        server = watched.server
        watched.state = rise_fall.started(watched.state)
        if watched.plan is None or watched.plan.target is not watched.target:
            header = server.check.proxy_header
            tls = server_tls(server.check.tls, self._tls_contexts)
            watched.plan = Plan(watched.target, server.limits, server.source, header, tls)
        begun = self._attempts.begin(server.slot, watched.plan, watched.dialect())
        if isinstance(begun, Outcome):
            self._judge(watched, begun, now_ms())
            return
        watched.attempt = begun
        watched.held_as_slow = watched.slow
        self._slow_in_flight += watched.held_as_slow
        self._writer.publish(server.slot, watched.state, changed=False)

    def _release(self, watched: Watched[A]) -> None:
        """The attempt is over, whatever comes of it."""
        watched.attempt = None
        self._slow_in_flight -= watched.held_as_slow
        watched.held_as_slow = False

    def _judge(self, watched: Watched[A], outcome: Outcome, began_ms: int) -> None:
        """Publish what a check's outcome means, ask for a resolution, plan the next check."""
        slot, at_ms = watched.server.slot, now_ms()
        former = watched.state
        watched.state, change = rise_fall.judged(
            former,
            watched.thresholds,
            outcome,
            at_ms,
            agent_down=self._agents.is_down(slot),
        )
        text = cut(outcome.description)
        if text:
            self._texts.publish(slot, text, at_ms)
        self._writer.publish(slot, watched.state, changed=change is not Change.NONE)
        percent = self._globals.spread_checks_percent
        self._timetable.place(slot, at_ms + spread_ms(watched.interval_ms, percent, self._random))
        if watched.server.resolved:
            self._news.ask_if_unconnected(slot, outcome.status, began_ms)
        self._news.judged(
            watched.server, former, watched.state, change, text=text, logged=cut(outcome.logged)
        )

    def _arm(self) -> None:
        """Let the alarm wake us for the next due check or deadline, whichever comes first."""
        self._alarm.arm(self._attempts, self._timetable, self._in_flight_max)
