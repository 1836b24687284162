"""One worker's agents on its event loop: who is asked when, and what becomes of the answers.

Owns the records of the agents of the worker's share. Decides nothing itself: agent_words says what
a line means, agent_state what it makes of a record, timetable when an agent is asked, check.pyx
makes the connection. What an agent says of a server's health is handed on (`Health`), because
checks and operators say something of it, too. An agent is asked whatever its server's state, also
in maintenance, which it may end (manual section 5.2, `agent-check`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Protocol

from proxy.health import agent_state
from proxy.health.agent_state import Instant
from proxy.health.agent_words import AgentReport, understood
from proxy.health.alarm import Alarm
from proxy.health.check import Connects, Plan, RunningCheck
from proxy.health.dialect.agent import AgentDialect
from proxy.health.judgement import Outcome
from proxy.health.news import News
from proxy.health.report import cut
from proxy.health.share import CheckedServer
from proxy.health.target import CheckTarget
from proxy.health.timetable import Timetable, first_due_ms, spread_ms
from proxy.runtime import Runtime, now_ms
from shm.agents import AgentReader, AgentWriter
from shm.check_status import CheckStatus
from shm.slots import SlotTableReader
from shm.states import AdminFlag, AgentOrders, AgentState, AgentWord

AT_ONCE = 100  # agents that are asked, and answers that are judged, in one turn of the loop
MAINT = int(AdminFlag.FMAINT | AdminFlag.CMAINT)
DRAIN = int(AdminFlag.FDRAIN)


class Health(Protocol):
    """What acts on an agent's word about health, and on orders."""

    def observe(self, slot: int) -> None:
        """Records of the slot changed."""

    def heard(self, slot: int, said: AgentState, text: str, *, ordered: bool) -> None:
        """The agent, or the operator for it, has said that the server is down or up."""


class Asked:
    """One server with an agent, as it is known now."""

    __slots__ = ("attempt", "dialect", "orders", "server", "state", "target")

    def __init__(self, server: CheckedServer, state: AgentState, orders: AgentOrders) -> None:
        self.server = server
        self.state = state
        self.orders = orders
        self.attempt: RunningCheck | None = None
        self.dialect: AgentDialect | None = None  # of the attempt
        self.target: CheckTarget | None = None  # likewise

    @property
    def interval_ms(self) -> int:
        """From the end of a check to the next."""
        assert self.server.agent is not None
        assert self.server.agent.inter_ms is not None
        return self.server.agent.inter_ms


def standing_word(flags: int) -> AgentWord:
    """The word for what orders made of a server."""
    if flags & MAINT:
        return AgentWord.MAINT
    return AgentWord.DRAIN if flags & DRAIN else AgentWord.READY


class Agents:
    """Asks the agents of one worker's share; everything happens on the thread of `loop`."""

    def __init__(
        self,
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop,
        news: News,
        health: Health,
        in_flight_max: int,
    ) -> None:
        self._globals = runtime.settings.globals
        self._loop = loop
        self._news = news
        self._health = health
        self._in_flight_max = in_flight_max
        self._slots = SlotTableReader(runtime.segment)
        self._reader = AgentReader(runtime.segment)
        self._writer = AgentWriter(runtime.segment)
        self._random = Random()
        self._connects = Connects()
        self._timetable = Timetable()
        self._alarm = Alarm(loop, self._turn)
        self._asked: dict[int, Asked] = {}
        self._began_ms = now_ms()

    def start(self) -> None:
        """Begin to listen to what is asked from now on."""
        self._loop.add_reader(self._connects.fileno(), self._turn)

    def stop(self) -> None:
        """Ask no more."""
        self._loop.remove_reader(self._connects.fileno())
        self._alarm.cancel()
        self._connects.close()

    def is_down(self, slot: int) -> bool:
        """Whether the agent of a server says that it is down; False without an agent."""
        asked = self._asked.get(slot)
        return asked is not None and asked.state.down and not asked.orders.off

    def adopt(self, server: CheckedServer) -> None:
        """Carry on from the record of a server's agent; raises BlockingIOError."""
        slot, at_ms = server.slot, now_ms()
        state = self._reader.said(slot)._replace(running=False)
        asked = self._asked[slot] = Asked(server, state, self._reader.orders(slot))
        self._writer.publish(slot, state, changed=False)
        span_ms, checked_ms = asked.interval_ms, state.checked_ms
        if checked_ms and at_ms < checked_ms + 2 * span_ms:
            due_ms = max(at_ms, checked_ms + span_ms)
        else:
            span_ms = min(span_ms, self._globals.max_spread_checks_ms or span_ms)
            due_ms = first_due_ms(self._began_ms, span_ms, server.position, server.count)
        self._timetable.place(slot, due_ms)

    def drop(self, slot: int) -> None:
        """Ask the agent of a server no more, which was deleted; it may have none."""
        asked = self._asked.pop(slot, None)
        if asked is not None:
            self._timetable.forget(slot)
            if asked.attempt is not None:
                self._connects.abandon(asked.attempt)

    def look(self, slot: int) -> None:
        """Orders may have changed: obey them."""
        asked = self._asked[slot]
        with suppress(BlockingIOError):
            asked.orders = self._reader.orders(slot)
        former = asked.state
        asked.state = agent_state.ordered(former, asked.orders)
        if asked.state is not former:
            self._writer.publish(slot, asked.state, changed=False)
            self._health.heard(slot, asked.state, "", ordered=True)

    def arm(self) -> None:
        """Let the alarm wake us for the next due agent or deadline, whichever comes first."""
        self._alarm.arm(self._connects, self._timetable, self._in_flight_max)

    def _turn(self) -> None:
        """Judge what ended, then what ran out of time, ask who is due, tell others."""
        for attempt, outcome in self._connects.ended(AT_ONCE):
            self._judge(self._asked[attempt.slot], outcome)
        for attempt, outcome in self._connects.expired(now_ms(), AT_ONCE):
            self._judge(self._asked[attempt.slot], outcome)
        at_ms = now_ms()
        for _ in range(AT_ONCE):
            slot = self._timetable.take(at_ms) if self._has_room else None
            if slot is None:
                break
            self._begin(self._asked[slot])
        self.arm()
        self._news.tell()

    @property
    def _has_room(self) -> bool:
        return len(self._connects) < self._in_flight_max

    def _begin(self, asked: Asked) -> None:
        """Ask one agent, where orders and records say that it is."""
        server = asked.server
        target = None if asked.orders.off else self._target(asked)
        if target is None:
            self._timetable.place(server.slot, now_ms() + asked.interval_ms)
            return
        asked.dialect = AgentDialect(self._sending(asked))
        asked.target = target
        plan = Plan(target, server.agent_limits, server.source)
        begun = self._connects.begin(server.slot, plan, asked.dialect)
        if isinstance(begun, Outcome):
            self._judge(asked, begun)
            return
        asked.attempt = begun
        asked.state = asked.state._replace(running=True)
        self._writer.publish(server.slot, asked.state, changed=False)

    def _sending(self, asked: Asked) -> bytes:
        """What an agent is sent."""
        agent = asked.server.agent
        assert agent is not None
        with suppress(BlockingIOError):
            ordered = self._reader.sending(asked.server.slot)
            return agent.send if ordered is None else ordered
        return agent.send

    def _target(self, asked: Asked) -> CheckTarget | None:
        """Where an agent is; None while its server has no address, nor the agent its own."""
        agent, orders, server = asked.server.agent, asked.orders, asked.server
        assert agent is not None
        host = orders.address or agent.address
        if host is None and server.local is not None:
            return CheckTarget(server.local.local_name, 0)
        if host is None:
            with suppress(BlockingIOError):
                host = self._slots.server(server.slot).address
        return None if host is None else CheckTarget(host, orders.port or agent.port)

    def _judge(self, asked: Asked, outcome: Outcome) -> None:
        """Publish what an answer means, act on it, and plan the next check."""
        slot, server, now = asked.server.slot, asked.server, Instant.now()
        line = asked.dialect.line if asked.dialect is not None else None
        asked.attempt = asked.dialect = None
        percent = self._globals.spread_checks_percent
        moved = self._target(asked) != asked.target  # by order, or with its server
        wait_ms = 0 if moved else spread_ms(asked.interval_ms, percent, self._random)
        self._timetable.place(slot, now.ms + wait_ms)
        if asked.orders.off or moved:  # the answer speaks of nothing any more
            asked.state = asked.state._replace(running=False)
            self._writer.publish(slot, asked.state, changed=False)
            return
        report = agent_state.without_words(asked.state, outcome)
        if line is not None and outcome.status is CheckStatus.CHECKED:
            report = understood(line, server.weight, fixed=server.weights_fixed)
        report = report._replace(text=cut(report.text or outcome.status.cause(outcome.code)))
        former = asked.state
        asked.state = agent_state.ended(former, outcome, report, now)
        if report.text:
            self._writer.tell(slot, report.text, now.ms)
        self._obey(asked, former, report, now)
        if server.log_checks and agent_state.is_news(former, asked.state):
            self._news.agent_checked(server, asked.state, report.text)
        spoke = report.status in (CheckStatus.UNK, CheckStatus.L7OK, CheckStatus.L7STS)
        if spoke and asked.state.status in (CheckStatus.L7OK, CheckStatus.L7STS):
            self._health.heard(slot, asked.state, report.text, ordered=False)

    def _obey(self, asked: Asked, former: AgentState, report: AgentReport, now: Instant) -> None:
        """Publish a record; tell others what its words about weight, state and maxconn changed."""
        slot = asked.server.slot
        try:
            was = standing_word(self._slots.administration(slot).flags)
            before = self._news.stands(slot)
        except BlockingIOError:  # the next answer says the same
            self._writer.publish(slot, asked.state, changed=False)
            return
        asked.state = agent_state.said(asked.state, report, was, now)
        changed = agent_state.changes(former, asked.state, asked.orders)
        self._writer.publish(slot, asked.state, changed=changed)
        if changed:
            self._health.observe(slot)
            self._news.administered(slot, before, touched=report.weight is not None)
