"""The resolverd process: connects the core, its transports and the segment to one event loop.

Owns the loop, the clock, the timer and the heartbeat. Knows no rule of DNS or of servers: those are
in core.py and below. Writes slot records, names of slots, resolution records, nameserver
counters and its own process record; a lock of the segment (SLOT_WRITER) keeps other writers out.

core.py decides; this file passes it events and the time. Requests for a resolution are counters
that workers bump, orders of names are records of control; both are read soon after the doorbell
rings and on every tick, so that those of a process that died before ringing count too.

All names are made before the gate of a reload, from records that a predecessor may still change;
behind it only the slots that have moved are read again, and a name's record when its turn comes.

The process ends by SIGTERM's default action and may be killed at any moment: its successor carries
on from the records in the segment. An unexpected exception in a callback ends the process.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import uvloop

from resolverd.board import SegmentBoard
from resolverd.config import (
    ComingServers,
    LinkedFile,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
    StateFile,
    StateMembers,
)
from resolverd.core import Asker, Core
from resolverd.dns.answer import Answer, QueryType
from resolverd.explain.answers import error_page
from resolverd.log.lines import describe_empty
from resolverd.pace.jitter import Jitter
from resolverd.resolution.resolution import Trigger
from resolverd.resolv_conf.follower import ResolvConfFollower
from resolverd.state_file.writer import StateWriter
from resolverd.transport.transport import SectionTransport
from shm.check_orders import CheckOrders
from shm.gate import wait_at_gate
from shm.locks import SLOT_WRITER, take_role
from shm.log_level import Lines, Log, LogLevel
from shm.mailbox import MAIL_BYTES, MailReceiver
from shm.moved import SlotRevisions
from shm.names import NameOrderWatch, NameReader
from shm.processes import ProcessSelf
from shm.requests import RequestReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import ProcessState

TICK_S = 0.7  # heartbeat and look at the request counters: the most that a lost ring costs
EARLY_PART = 10  # a run comes early by at most this part of `timeout resolve`, a tenth
TURN_MS = 5  # runs begin at multiples of it where EARLY_PART allows: one wake-up for several
NEVER_MS = 1 << 62
GARBAGE_THRESHOLD = 50_000  # net allocations before a collection of the youngest generation
LOOK_DELAY_S = 0.01  # one look for all rings of a burst of failed connects


def now_ms() -> int:
    """CLOCK_MONOTONIC in milliseconds, the clock of all records in the segment."""
    return time.monotonic_ns() // 1_000_000


def run(
    settings: ResolverdSettings,
    segment: Segment,
    doorbell_fd: int,
    ring: Callable[[], None],
    log: Log,
    *,
    state_files: tuple[StateFile, ...] = (),
    ring_control: Callable[[], None] | None = None,
    resolv_conf: LinkedFile | None = None,
    check_orders: CheckOrders | None = None,
    members: ComingServers | None = None,
    state_members: Callable[[], StateMembers] | None = None,
) -> NoReturn:
    """Run resolverd until the process is killed.

    `doorbell_fd` is the eventfd that workers write to after a request for a resolution; `ring`
    wakes the workers after a change of a slot, `ring_control` wakes control after an answer to its
    question; `state_files` are kept up to date, with `check_orders` and `state_members` (made for
    each) in them, `resolv_conf` and `members` are followed. Raises SecondWriterError while another
    process writes slots, RuntimeError when a callback has raised.
    """
    take_role(segment.fd, SLOT_WRITER)
    loop = uvloop.new_event_loop()
    daemon = Daemon(settings, segment, doorbell_fd, ring, log=log, loop=loop)
    gc.freeze()  # and what is made behind the gate is collected without these
    wait_at_gate(ProcessSelf(segment, segment.shape.resolverd_process), doorbell_fd)
    daemon.ring_control, daemon.members = ring_control, members
    if resolv_conf is not None:
        daemon.follow(resolv_conf)
    daemon.start()
    # it reads the files: the first questions come before
    loop.call_soon(daemon.keep, state_files, check_orders, state_members)
    loop.run_forever()
    raise RuntimeError("the event loop of resolverd has ended") from daemon.failure


class Daemon:
    """The core, its transports, and the loop that serves them."""

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
        """Make all names; nothing is written or sent before `start`."""
        self.failure: BaseException | None = None
        self._loop = loop
        self._log = log
        self._lines: Lines = []  # logged after the bells are rung
        self._segment = segment
        self._writers: list[StateWriter] = []
        self.ring_control: Callable[[], None] | None = None
        self.members: ComingServers | None = None  # none come or go
        self._mail = MailReceiver(segment)
        self._doorbell_fd = doorbell_fd
        self._ring = ring
        self._slots, self._names = SlotTableReader(segment), NameReader(segment)
        self._process = ProcessSelf(segment, segment.shape.resolverd_process)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = NEVER_MS  # when it fires
        self._look_timer: asyncio.TimerHandle | None = None
        self._board = board = SegmentBoard(segment)
        self._revisions = SlotRevisions(segment)
        for slot in range(segment.shape.slots):
            self._revisions.look(slot)  # before their records are read
        self._sections = settings.sections
        jitter = Jitter(EARLY_PART, TURN_MS)
        self._transports = {
            section.name: SectionTransport(
                loop,
                section,
                board.count,
                self,
                self._note,
                note=functools.partial(board.repeated, index),
                jitter=jitter,
            )
            for index, section in enumerate(settings.sections)
        }
        askers: dict[str, Asker] = {**self._transports}
        self._core = Core(
            settings, board, askers, self._note, now_ms(), early_ms=jitter.early_ms, begins=False
        )

    def keep(
        self,
        files: tuple[StateFile, ...],
        orders: CheckOrders | None = None,
        members: Callable[[], StateMembers] | None = None,
    ) -> None:
        """Write these files when their servers change."""
        self._writers = [
            StateWriter(
                file,
                self._segment,
                self._log,
                self._loop,
                orders,
                members=None if members is None else members(),
            )
            for file in files
        ]
        self._look_for_writers()

    def follow(self, file: LinkedFile) -> None:
        """Follow this resolv.conf in the sections with `parse-resolv-conf`."""
        ResolvConfFollower(
            file,
            self._sections,
            self._segment,
            log=self._log,
            loop=self._loop,
            now_ms=now_ms,
            changed=self._section_changed,
        ).start()

    def start(self) -> None:
        """Take the records over, and register with the loop: the first questions are sent.

        No predecessor writes any more.
        """
        self._take_over()
        self._loop.set_exception_handler(self._unforeseen)
        self._loop.add_reader(self._doorbell_fd, self._doorbell)
        self._tick()
        self._serve_deadlines()
        self._process.state(ProcessState.READY)
        # these objects live as long as the process: the collector need not traverse all names
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)

    def _take_over(self) -> None:
        self._board.begin()
        self._requests = RequestReader(self._segment, from_now=True)
        self._orders = NameOrderWatch(self._segment)
        slots = array("I", range(self._segment.shape.slots))
        self._core.begin(now_ms(), self._revisions.moved(slots, 0, len(slots)))
        self._follow_members(now_ms())

    def answered(self, key: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        """A nameserver has answered an open attempt."""
        self._core.answered(key, nameserver, query_type, answer, now_ms())
        self._arm()

    def begins(self, section: str, batch: int, runs: int, now_ms: int) -> bool:
        """Repeated runs are due: whether they may begin."""
        return self._core.begins(section, batch, runs, now_ms)

    def ended(self, section: str, batch: int, now_ms: int) -> None:
        """The repeated runs of a batch have ended."""
        if self._core.ended(section, batch, now_ms):
            self._arm()

    def heard(self, section: str, nameserver: str, now_ms: int) -> None:
        """A nameserver that has left an attempt unanswered has answered."""
        self._core.heard(section, nameserver, now_ms)

    def returned(self, key: int) -> None:
        """A name whose runs were repeated is given back."""
        self._core.names[key]

    def settled(self) -> None:
        """Runs have been repeated: the next deadline may be another."""
        self._arm()

    def lost(self, key: int, nameserver: str, query_type: QueryType) -> None:
        """A question did not reach the nameserver."""
        self._core.lost(key, nameserver, query_type)

    def fetching(self, key: int, query_type: QueryType) -> None:
        """A truncated answer is being asked for again over TCP."""
        self._core.fetching(key, query_type, now_ms())
        self._arm()

    def _section_changed(self, section: ResolversSection) -> None:
        self._transports[section.name].follow(section)
        self._core.follow(section)

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback has raised: end the process, its state may be inconsistent."""
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(str(context.get("message")))
        self.failure = error
        self._log_lines()
        loop.stop()

    def _note(self, level: LogLevel, text: str) -> None:
        """Keep a line for the log until the bells have been rung."""
        self._lines.append((level, text))

    def _log_lines(self) -> None:
        lines, self._lines = self._lines, []
        for level, text in lines:
            self._log(level, text)

    def _tick(self) -> None:
        self._process.beat(now_ms())
        self._core.names.served.throttle.flush(now_ms())
        self._look()
        self._answer_mail()
        self._look_for_writers()
        self._loop.call_later(TICK_S, self._tick)

    def _look_for_writers(self) -> None:
        for writer in self._writers:
            writer.look(now_ms())

    def _doorbell(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._doorbell_fd)
        self._answer_mail()
        if self.members is not None and self.members.waiting:
            self._look()  # an operator waits for it
        elif self._look_timer is None:
            self._look_timer = self._loop.call_later(LOOK_DELAY_S, self._look)

    def _look(self) -> None:
        """Read the failed connects and the ordered names since the last look."""
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        now = now_ms()
        ordered = self._orders.changes()
        self._follow_members(now)  # after that: a server is there before an order about it
        for slot in ordered:
            self._core.ordered(slot, self._names.order(slot).name, now)
        for failure in self._requests.changes():
            kind = Trigger.CONNECT_TIMEOUT if failure.timeouts else Trigger.CONNECT_REFUSED
            self._core.connect_failed(failure.slot, kind, failure.began_ms, now)
        self._arm()

    def _follow_members(self, now: int) -> None:
        """Go by the servers that were added or deleted, and say so: control waits for it."""
        if self.members is not None:
            news = self.members.news()
            if any(news):
                self._core.follow_members(news, now)
            self._process.applied(self.members.seen)

    def _answer_mail(self) -> None:
        """Answer the question of control, if there is one; no question may end the process."""
        question = self._mail.question()
        if question is None:
            return
        try:
            mail = self._core.accounts.page(question, now_ms(), MAIL_BYTES)
        except Exception as error:  # a successor would find the same question
            self._log(LogLevel.ERR, f"resolverd: no answer to {question}: {error!r}")
            mail = error_page(repr(error))
        self._mail.answer(question.number, mail)
        if self.ring_control is not None:
            self.ring_control()

    def _serve_deadlines(self) -> None:
        self._timer, self._timer_ms = None, NEVER_MS
        self._core.serve_deadlines(now_ms())
        self._arm()

    def _log_empty(self, losers: dict[int, ResolvedServer]) -> None:
        """Log the backends that have no eligible server left."""
        for backend, server in losers.items():
            if self._slots.eligible(backend) == 0:
                for level, text in describe_empty(server):
                    self._log(level, text)

    def _arm(self) -> None:
        """Ring if slots have changed; have `_serve_deadlines` called at the next deadline."""
        served = self._core.names.served
        if served.changed:
            served.changed = False
            self._ring()
            os.sched_yield()  # a rung process on this core runs before the log is written
        if self._lines:
            self._log_lines()
        if served.losers:
            self._log_empty(served.take_losers())
        deadline_ms = self._core.next_deadline_ms()
        if deadline_ms is None or deadline_ms >= self._timer_ms:
            return  # the running timer fires before, and arms the next deadline
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, deadline_ms - now_ms()) / 1_000
        self._timer_ms = deadline_ms
        self._timer = self._loop.call_later(delay_s, self._serve_deadlines)
