"""A reload: read in a helper child, switch when the new workers are ready, or call it off.

             bytes came           built            new workers ready,      old services silent,
                                                   new services loaded     the rest copied
    READING ----------> BUILDING -----> STARTING ---------> HANDING_OVER ---------> LEAVING
        |                  |               |                     |              the gate opens,
        v                  v               v                     v              the old workers
      DONE: nothing changed              DONE: the new         DONE: and old    stop softly
                                         ones end              services again       |
                                                                                    v
                                                                   DONE: they accept no more

The new resolverd and control load beside the old ones and wait at a gate, so little more than the
copying of what has moved since the first copy lies between the last word of the old ones and the
work of the new ones. Until that end nothing of the old generation is touched but the options of its
sockets. Whatever is raised on the way calls the reload off, foreseen or not: it is told, what was
made goes, the old generation serves as before. What takes long is done in slices.

Owns the order of the steps; what they do is in prepare, listening, build and generation.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from proxy.builds.installed import another_is_on_disk
from proxy.config.report import render
from proxy.config.text.messages import Message, Severity
from proxy.control.pausing import settle_closed
from proxy.members.table_changes import members_left, members_now, published_again
from proxy.runtime import Log, Runtime
from proxy.server_table import Configured
from proxy.supervisor.build import Builder, Ground, hand_over, open_all
from proxy.supervisor.descriptors import DescriptorLimitError
from proxy.supervisor.dropped import DroppedEntries, orders_dropped
from proxy.supervisor.faults import Faults, explain
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.helper import Helper
from proxy.supervisor.leaving import Leaving
from proxy.supervisor.limits import (
    FIRST_READY_LIMIT_MS,
    LEAVING_TICK_MS,
    RELOAD_LIMIT_MS,
    STARTING_TICK_MS,
)
from proxy.supervisor.listening import (
    BindingError,
    give_back,
    listens,
    restore_options,
    vanished,
    wanted_sockets,
)
from proxy.supervisor.memory import share_memory
from proxy.supervisor.passage import decode, encode
from proxy.supervisor.prepare import Prepared, Previous
from proxy.supervisor.reload_report import ReloadReport
from proxy.supervisor.slices import Sliced, Steps
from shm.log_level import LogLevel
from shm.segment import Segment
from shm.shape import GaugesFullError

LEVELS = {
    Severity.ALERT: LogLevel.ALERT,
    Severity.WARNING: LogLevel.WARNING,
    Severity.NOTICE: LogLevel.NOTICE,
}
OTHER_BUILD = (
    "another build of the program is on disk: the files are read with the one that runs, until "
    "the program is started anew"
)
STILL_THERE = "may still accept clients: it has had no turn, or its queue was never empty"
Read = Callable[[Previous], Prepared]


def log_lines(messages: Iterable[Message]) -> Iterator[tuple[LogLevel, str]]:
    """For the log, each as it would stand on a terminal but for its tag."""
    for message in messages:
        if message.severity in LEVELS:
            yield LEVELS[message.severity], render(message, 0).partition(" : ")[2]


class Step(enum.Enum):
    """Where a reload stands; see the drawing above."""

    READING = "reading"
    BUILDING = "building"
    STARTING = "starting"
    HANDING_OVER = "handing over"
    LEAVING = "leaving"
    DONE = "done"


class ReloadError(Exception):
    """A reload ends without success; the text says why."""


def note_failure(segment: Segment) -> None:
    """A reload has failed: whoever looks at the generation that serves on shall see it."""
    segment.note_reloads(segment.reload_failures + 1, int(time.time()))


class ReloadCounts:
    """How many were tried, and failed since the last that was done, for `show proc`."""

    def __init__(self, tried: int = 0, failed: int = 0) -> None:
        self._tried, self._failed = tried, failed

    def count(self, segment: Segment, *, succeeded: bool) -> None:
        """One more; `segment` is that of the generation that is in force now."""
        self._tried += 1
        self._failed = 0 if succeeded else self._failed + 1
        segment.count_reloads(self._tried, self._failed)


class Reload:
    """One reload; `succeeded`: `new` serves, though `step` may not be DONE yet."""

    def __init__(
        self,
        old: Generation,
        read: Read,
        builder: Builder,
        faults: Faults,
        now_ms: int,
        *,
        older: Callable[[], Iterable[Generation]] = tuple,
        elders: Callable[[int], tuple[Runtime, ...]] = lambda _number: (),
    ) -> None:
        """Start reading; what this raises has left nothing behind.

        `older` are the generations before `old` that live, `elders` those before any number.
        """
        self.step = Step.READING
        self.new: Generation | None = None
        self.succeeded = False
        self.report = ReloadReport(builder.main_pid)
        self._old = old
        self._older = older
        self._elders = elders
        self._builder = builder
        self._faults = faults
        self._ground: Ground | None = None
        self._building: Sliced[Generation] | None = None
        self._copying: Sliced[None] | None = None
        self._leaving: Leaving | None = None
        self._news: list[str] = []  # that are told when it is done
        self._tried_sockets = False  # open ones may have options of new lines
        self._deadline_ms = now_ms + RELOAD_LIMIT_MS
        servers = members_now(old.runtime.servers, old.runtime.segment)
        previous = Previous(Configured(old.runtime.settings, servers), old.runtime.segment)
        self._helper: Helper | None = Helper(
            lambda send: send(encode(read(previous))), "millrace: reload"
        )
        self._listens = False
        try:
            builder.reactor.watch(self._helper.descriptor, self._received)
        except BaseException:
            self._helper.end()
            raise
        self._listens = True
        if another_is_on_disk():
            self._say(LogLevel.WARNING, OTHER_BUILD)

    def turn(self, now_ms: int) -> None:
        """Everything that time brings."""
        try:
            self._advance(now_ms)
        except Exception as error:
            if self.succeeded:  # what came after it
                self._faults.tell("telling that the reload is done", error)
                self.step = Step.DONE
            else:
                self._call_off(now_ms, error)

    def _advance(self, now_ms: int) -> None:
        late = now_ms >= self._deadline_ms
        if self.step is Step.READING and late:
            self._finish_reading(now_ms)
        elif self.step is Step.BUILDING:
            assert self._building is not None
            if self._building.advance():
                self.new, self._building = self._building.result, None
                self._start(self.new, now_ms)
        elif self.step is Step.STARTING:
            assert self.new is not None
            self.new.turn(now_ms, judge=True)
            if self.new.children.workers_ready and self.new.services.loaded:
                self._end_services(now_ms)
            elif self.new.children.hopeless or self.new.services.hopeless or late:
                who = "resolverd or control" if self.new.children.workers_ready else "workers"
                raise ReloadError(f"the new {who} did not become ready")
        elif self.step is Step.HANDING_OVER:
            self._hand_over(now_ms)
        elif self.step is Step.LEAVING:
            assert self._leaving is not None
            if self._leaving.over(now_ms):
                self._conclude(self._leaving)

    def _hand_over(self, now_ms: int) -> None:
        assert self.new is not None
        self.new.turn(now_ms, judge=True)
        if self._copying is None and self._old.services.silent:
            self._copying = Sliced(hand_over(self._old, self.new))
        if self._copying is not None:
            if self._copying.advance():
                self._switch(now_ms)
        elif self._old.services.undead(now_ms):
            raise ReloadError("the old resolverd or control did not end: is it traced?")

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        if self.step is Step.BUILDING or self._copying is not None:
            return 0
        if self.step in (Step.STARTING, Step.HANDING_OVER):
            return STARTING_TICK_MS
        if self.step is Step.LEAVING:
            return LEAVING_TICK_MS
        return max(0, self._deadline_ms - now_ms)

    def abandon(self, now_ms: int) -> None:
        """The program ends: nothing is to be switched any more, and the old ones must serve.

        Where the new ones do, it is done.
        """
        if self.succeeded:
            if self._leaving is not None and self.step is Step.LEAVING:
                self._conclude(self._leaving)
            return
        ended_services = self.step is Step.HANDING_OVER
        self.step = Step.DONE
        self._copying, self._old.carried = None, None
        self._drop(now_ms)
        if ended_services:
            self._old.services.revive(now_ms)

    def _received(self, now_ms: int) -> None:
        try:
            assert self._helper is not None
            if self._helper.receive():
                self._finish_reading(now_ms)
        except Exception as error:
            self._call_off(now_ms, error)

    def _finish_reading(self, now_ms: int) -> None:
        self.step = Step.BUILDING
        self._building = Sliced(self._build(self._end_helper(), now_ms))

    def _build(self, content: bytes, now_ms: int) -> Steps[Generation]:
        prepared = yield from decode(content, self._old.runtime.settings)
        self._tell(prepared.messages)
        if prepared.settings is None:
            raise ReloadError("the configuration has errors")
        if not listens(prepared.settings):  # an empty folder, most likely: a start refuses it, too
            raise ReloadError("no enabled listener found (check for 'bind' directives)")
        yield
        self._tried_sockets = True
        held, descriptors = self._old.sockets.held, self._builder.descriptors
        try:
            self._ground = open_all(prepared.settings, held, descriptors)
        except DescriptorLimitError as error:
            raise ReloadError(str(error)) from error
        except BindingError as error:
            for line in error.lines:
                self._say(LogLevel.ALERT, line)
            raise ReloadError("not all sockets can be opened") from error
        for warning in self._ground.grant.warnings:
            self._say(LogLevel.WARNING, warning)
        yield
        build = self._builder.build(prepared, self._ground, now_ms, self._old, self._older)
        try:
            return (yield from build)
        except GaugesFullError as error:
            raise ReloadError(str(error)) from error

    def _end_helper(self) -> bytes:
        """What it sent; may be called again when it raised."""
        assert self._helper is not None
        if self._listens:
            self._builder.reactor.forget(self._helper.descriptor)
            self._listens = False
        content = self._helper.end()
        self._helper = None
        return content

    def _start(self, new: Generation, now_ms: int) -> None:
        """Its children start; the old resolverd and control go on."""
        self.step = Step.STARTING
        self._deadline_ms = now_ms + FIRST_READY_LIMIT_MS
        share_memory()
        new.children.elders.find = partial(self._elders, new.number)
        new.turn(now_ms, judge=True)

    def _end_services(self, now_ms: int) -> None:
        self.step = Step.HANDING_OVER
        self._old.services.give_way(now_ms)

    def _switch(self, now_ms: int) -> None:
        """Everything is where it must be: the new ones begin, the old workers finish."""
        assert self.new is not None
        assert self._old.carried is not None
        onward = self._old.carried.onward
        gone = vanished(self._old.sockets.held, self.new.sockets.held)
        self.new.runtime.segment.note_reloads(self._old.runtime.segment.reload_failures)
        self.new.services.open_gate()
        with self._faults.contained("stopping the old workers"):
            closing = self._builder.given.closing(gone, self._old.runtime)
            self._old.soft_stop(closing, now_ms)
        if self._old.phase is Phase.RUNNING:  # it raised before it began
            raise ReloadError("the old workers cannot be stopped")
        self.succeeded = True
        self.step = Step.LEAVING
        self._leaving = Leaving(self._old, now_ms)
        if self._old.came_by is not None:
            self._old.came_by.following = onward
        self.new.came_by = onward
        left = members_now(self._old.runtime.servers, self._old.runtime.segment)
        new = self.new.runtime.servers
        self._news += members_left(left, new)
        self._news += published_again(left, self._old.runtime.segment, new)
        self._news += orders_dropped(self._old.runtime, self.new.runtime)

    def _conclude(self, leaving: Leaving) -> None:
        """Tell that new clients are those of the new generation, and what it does not know."""
        assert self.new is not None
        self.step = Step.DONE
        log = self.new.runtime.log
        self._say(LogLevel.NOTICE, f"reload done: generation {self.new.number} serves", log)
        for child in leaving.there:
            self._say(LogLevel.WARNING, f"old {child.name} {STILL_THERE}", log)
        for text in self._news:
            self._say(LogLevel.NOTICE, text, log)
        with self._faults.contained("looking for changed entries of acls and maps"):
            say = partial(self._say, LogLevel.NOTICE, log=log)
            entries = DroppedEntries(self._builder.reactor, say, self.report)
            entries.tell(self._old.runtime, self.new.runtime)

    def _call_off(self, now_ms: int, error: Exception) -> None:
        """Leave everything as it was, whatever it was that failed."""
        ended_services = self.step is Step.HANDING_OVER
        self.step = Step.DONE
        self._copying, self._old.carried = None, None
        self._drop(now_ms)
        with self._faults.contained("reviving resolverd and control"):
            if ended_services:
                self._old.services.revive(now_ms)
        reason = str(error) if isinstance(error, ReloadError) else explain(error)
        note_failure(self._old.runtime.segment)
        self._say(LogLevel.ALERT, f"reload failed, nothing changed: {reason}")

    def _drop(self, now_ms: int) -> None:
        """What was made for the new generation; its processes end on their own."""
        contained = self._faults.contained
        with contained("undoing what is half built"):
            if self._building is not None:
                self._building.close()
        with contained("ending the reader of the configuration"):
            if self._helper is not None:
                self._end_helper()
        with contained("ending new workers"):
            if self.new is not None:
                self.new.stop(now_ms)
        with contained("closing new sockets"):
            if self._ground is not None:
                give_back(self._ground.sockets.fresh)
        with contained("restoring the options of open sockets"):
            if self._tried_sockets:
                old = self._old.runtime
                wants = wanted_sockets(old.settings, old.workers)
                restore_options(wants, old.workers, self._old.sockets.held)
                settle_closed(old)

    def _tell(self, messages: tuple[Message, ...]) -> None:
        for level, text in log_lines(messages):
            self._say(level, text)

    def _say(self, level: LogLevel, text: str, log: Log | None = None) -> None:
        """To a log, that of the old generation if none is given, and among the report's lines."""
        (log or self._old.runtime.log)(level, text)
        self.report.note(level, text)
