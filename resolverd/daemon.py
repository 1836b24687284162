"""The resolverd process: everything of this package wired to one event loop and the segment.

Owns the loop, the clock, the timer and the heartbeat. Knows no rule of DNS or of servers: those are
in resolution.py, answer.py and assignment.py. Writes slot records, resolution records, nameserver
counters and its own process record; nobody else writes these, a lock of the segment sees to it.

Each event (a datagram, a deadline, a failed connect) goes to the resolution that it concerns; the
actions that come back are performed at once. Requests for a resolution are counters that workers
bump; they are looked at soon after the doorbell rings and on every tick, so that a request of a
worker that died before ringing counts too.

It ends by SIGTERM's default action and may be killed at any moment: what it knows is in the
segment, and a successor carries on from there. An error that nobody foresaw ends the process on
purpose.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import uvloop

from resolverd.answer import Answer, QueryType
from resolverd.config import ResolverdSettings
from resolverd.resolution import Action, Finished, Send, Trigger, Unanswered
from resolverd.resolved_name import Log, ResolvedName
from resolverd.schedule import Schedule
from resolverd.transport import Transport
from shm.counters import CounterReader, NameserverTable
from shm.locks import SLOT_WRITER, take_role
from shm.processes import ProcessSelf
from shm.requests import RequestReader
from shm.segment import Segment
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import ProcessState

TICK_S = 0.2  # heartbeat and look at the request counters: a lost ring costs no more than this
LOOK_DELAY_S = 0.01  # rings of one storm of failed connects are answered by one look
DUE_MAX = 64  # resolutions served before other events have their turn


def now_ms() -> int:
    """CLOCK_MONOTONIC in milliseconds, the clock of every record in the segment."""
    return time.monotonic_ns() // 1_000_000


def run(
    settings: ResolverdSettings,
    segment: Segment,
    doorbell_fd: int,
    ring: Callable[[], None],
    log: Log,
) -> NoReturn:
    """Be resolverd until the process is killed.

    `doorbell_fd` is the eventfd that workers write to after asking for a resolution; `ring` tells
    them that a slot has changed. Raises SecondWriterError while another process writes slots, and
    whatever ends the loop unforeseen.
    """
    take_role(segment.fd, SLOT_WRITER)
    loop = uvloop.new_event_loop()
    daemon = Daemon(settings, segment, doorbell_fd, ring, log=log, loop=loop)
    daemon.start()
    loop.run_forever()
    raise RuntimeError("the event loop of resolverd has ended") from daemon.failure


class Daemon:
    """The names to resolve, their transports, and the loop that serves them."""

    def __init__(
        self,
        settings: ResolverdSettings,
        segment: Segment,
        doorbell_fd: int,
        ring: Callable[[], None],
        *,
        log: Log,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Read what a predecessor left in the segment; nothing is sent before `start`."""
        self.failure: BaseException | None = None
        self._loop = loop
        self._doorbell_fd = doorbell_fd
        self._ring = ring
        self._writer = SlotTableWriter(segment)
        self._table = NameserverTable(segment)
        self._requests = RequestReader(segment, from_now=True)
        self._process = ProcessSelf(segment, segment.shape.resolverd_process)
        self._schedule = Schedule()
        self._timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._names: dict[int, ResolvedName] = {}
        self._by_slot: defaultdict[int, list[ResolvedName]] = defaultdict(list)
        self._transports = {
            section.name: Transport(loop, section, self._table.count, self._answered)
            for section in settings.sections
        }
        self._take_names(settings, segment, log)

    def _take_names(self, settings: ResolverdSettings, segment: Segment, log: Log) -> None:
        sections = {section.name: section for section in settings.sections}
        slots, counters, now = SlotTableReader(segment), CounterReader(segment), now_ms()
        for each in settings.resolutions:
            name = ResolvedName(each, sections[each.section], settings.families, log, now)
            name.carry_on(slots, counters, self._table)
            self._names[each.index] = name
            self._schedule.set(each.index, name.resolution.deadline_ms)
            for server in each.servers:
                self._by_slot[server.slot].append(name)

    def start(self) -> None:
        """Hook everything to the loop; the first questions go out as soon as it runs."""
        self._loop.set_exception_handler(self._unforeseen)
        self._loop.add_reader(self._doorbell_fd, self._doorbell)
        self._tick()
        self._serve_deadlines()
        self._process.state(ProcessState.READY)

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback has raised: end the process rather than go on with half a state."""
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(str(context.get("message")))
        self.failure = error
        loop.stop()

    def _tick(self) -> None:
        self._process.beat(now_ms())
        self._look()
        self._loop.call_later(TICK_S, self._tick)

    def _doorbell(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._doorbell_fd)
        if self._look_timer is None:
            self._look_timer = self._loop.call_later(LOOK_DELAY_S, self._look)

    def _look(self) -> None:
        """Trigger the resolutions of the slots that could not be connected to."""
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        now = now_ms()
        for failure in self._requests.changes():
            kind = Trigger.CONNECT_TIMEOUT if failure.timeouts else Trigger.CONNECT_REFUSED
            for name in self._by_slot.get(failure.slot, ()):
                actions = name.resolution.trigger(kind, failure.began_ms, now)
                if actions:
                    name.triggered(self._table)
                    self._perform(name, actions, now)
        self._arm()

    def _serve_deadlines(self) -> None:
        now = now_ms()
        for index in self._schedule.pop_due(now, DUE_MAX):
            name = self._names[index]
            self._perform(name, name.resolution.tick(now), now)
        self._arm()

    def _answered(self, index: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        now = now_ms()
        name = self._names[index]
        self._perform(name, name.resolution.reply(nameserver, query_type, answer, now), now)
        self._arm()

    def _perform(self, name: ResolvedName, actions: list[Action], now: int) -> None:
        index = name.settings.index
        transport = self._transports[name.section.name]
        for action in actions:
            if isinstance(action, Send):
                for nameserver in transport.ask(index, action.question, now):
                    name.resolution.unsent(nameserver)
            elif isinstance(action, Unanswered):
                transport.unanswered(index, action.nameservers)
            elif isinstance(action, Finished):
                transport.close_run(index)
                if name.finish(action, self._writer, self._table, now):
                    self._ring()
        self._schedule.set(index, name.resolution.deadline_ms)

    def _arm(self) -> None:
        """Have `_serve_deadlines` called when the next deadline comes."""
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._schedule.next_deadline_ms()
        if deadline_ms is None:
            self._timer = None
            return
        delay_s = max(0, deadline_ms - now_ms()) / 1_000
        self._timer = self._loop.call_later(delay_s, self._serve_deadlines)
