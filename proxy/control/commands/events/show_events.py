"""`show events`: what changed, from the ring that all processes write (management manual 9.3).

The sink `state` has the last 1,024 events of the program, reloads included, each in the format
`timed` of log lines, or as JSON. With `-w` more follow as they happen, until the client sends
anything or leaves; a reload ends such an answer too, since another process goes on. Where HAProxy
has the words, its texts are given.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms
from proxy.control.caller import CALLER, Caller
from proxy.control.command import FLUSH, Answer, Command, CommandError, Level, Piece
from proxy.control.limits import EVENTS_LOOK_SECONDS
from proxy.control.rows.report import Report
from proxy.log import timed_line
from shm.events import EVENTS_MAX, EventRing, LoggedEvent
from shm.log_level import LogLevel

SINK = "state"
SINKS = (
    "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n"
    "    state      : type=buffer, 0 dropped, what changed: servers, names, orders, reloads\n"
)
NO_SINK = "No such event sink"
UNKNOWN_OPTION = "unknown option"
SINCE = "'since' expects an age (15m), a time of day (03:12), a date or both (2026-01-31T03:12:00)"
DAY_SECONDS = 86_400


class EventSelection(NamedTuple):
    """What is asked for: see `help`."""

    since_us: int = 0  # wall clock
    follow: bool = False
    new: bool = False
    as_json: bool = False


class ShownEvent(msgspec.Struct, frozen=True):
    """One event in JSON."""

    sequence: int
    time: float  # seconds since 1970
    level: str
    text: str


def moment_of(text: str, now_s: float) -> float:
    """The wall clock time, in seconds, that a `since` names; raises CommandError."""
    try:
        return now_s - parse_time_ms(text, lambda _text: None, "s") / 1_000
    except ConfigError:
        pass
    now = datetime.datetime.fromtimestamp(now_s).astimezone()
    try:
        if "-" in text:
            return datetime.datetime.fromisoformat(text).astimezone().timestamp()
        clock = datetime.time.fromisoformat(text)
        asked = datetime.datetime.combine(now.date(), clock).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise CommandError(SINCE) from error
    return asked if asked <= now_s else asked - DAY_SECONDS  # the last time that it was so late


def wanted_by(words: list[str], now_s: float) -> EventSelection:
    """What the words behind the sink ask for; raises CommandError."""
    wanted = EventSelection()
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "since":
            moment = moment_of(words.pop(0) if words else "", now_s)
            wanted = wanted._replace(since_us=int(moment * 1_000_000))
        elif word == "json":
            wanted = wanted._replace(as_json=True)
        elif word.startswith("-") and word[1:] and not word[1:].strip("wn"):
            wanted = wanted._replace(
                follow=wanted.follow or "w" in word, new=wanted.new or "n" in word
            )
        else:
            raise CommandError(UNKNOWN_OPTION)
    if wanted.as_json and wanted.follow:
        raise CommandError("'json' is one array: it cannot be followed by more (-w).")
    return wanted


class EventReader:
    """Reads the ring from one place on."""

    def __init__(self, ring: EventRing, *, new: bool = False) -> None:
        """Begin with the oldest event that is there; `new`: behind the newest."""
        last = ring.last
        self._ring = ring
        self._read = last if new else max(last - EVENTS_MAX, 0)
        self._waited_for = 0  # what was not written up to here was waited for once

    def events(self) -> Iterator[LoggedEvent]:
        """What there is by now. An event being written is waited for until the next time.

        Those of writers that were killed never come, however many: they are waited for together.
        """
        last = self._ring.last
        self._read = max(self._read, last - EVENTS_MAX)
        while self._read < last:
            event = self._ring.event(self._read + 1)
            if event is None and self._read >= self._waited_for:
                self._waited_for = last
                return
            self._read += 1
            if event is not None:
                yield event


class _NextEvents:
    """Waits until there may be more; knows then whether the client still listens."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.ended = False

    async def over(self) -> None:
        self.ended = await self._caller.heard(EVENTS_LOOK_SECONDS) or self._caller.client.leaving


class ShowEvents:
    """The family of commands about events."""

    def __init__(self, report: Report) -> None:
        self._ring = report.runtime.events

    def commands(self) -> list[Command]:
        """What this family answers to."""
        usage = "[<sink>] [-w] [-n] [since <t>] [json]"
        return [
            Command(
                ("show", "events"), usage, "what changed, and who did it", Level.OPERATOR, self.show
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show events [<sink>] [-w] [-n] [since <t>] [json]`."""
        if not words:
            return [SINKS]
        if words[0] != SINK:
            forgotten = words[0] in ("since", "json") or words[0].startswith("-")
            hint = f": write 'show events {SINK} {' '.join(words)}'" if forgotten else ""
            raise CommandError(NO_SINK + hint)
        wanted = wanted_by(words[1:], time.time())
        return self._json(wanted) if wanted.as_json else self._lines(wanted)

    def _chosen(self, reader: EventReader, wanted: EventSelection) -> Iterator[LoggedEvent]:
        return (event for event in reader.events() if event.time_us >= wanted.since_us)

    def _lines(self, wanted: EventSelection) -> Iterator[Piece]:
        reader = EventReader(self._ring, new=wanted.new)
        for event in [*self._chosen(reader, wanted), *self._chosen(reader, wanted)]:
            yield f"{timed_line(event.level, event.text, event.time_us)}\n"
        caller = CALLER.get()
        if not wanted.follow or caller is None:
            return
        waiting = _NextEvents(caller)
        while not waiting.ended:
            yield FLUSH
            yield waiting
            for event in self._chosen(reader, wanted):
                yield f"{timed_line(event.level, event.text, event.time_us)}\n"

    def _json(self, wanted: EventSelection) -> Iterator[Piece]:
        reader = EventReader(self._ring, new=wanted.new)
        shown = [
            ShownEvent(
                event.sequence,
                event.time_us / 1_000_000,
                LogLevel(event.level).name.lower(),
                event.text,
            )
            for event in [*self._chosen(reader, wanted), *self._chosen(reader, wanted)]
        ]
        yield msgspec.json.encode(shown).decode() + "\n"
