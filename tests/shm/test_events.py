"""The ring of events: what is read of it, whoever writes, and whatever becomes of a writer."""

from __future__ import annotations

import os
import signal
import time

from shm.events import EVENTS_MAX, EventRing
from shm.log_level import LogLevel
from tests.support.torn_events import tear

NOTICE = LogLevel.NOTICE
WRITERS, EACH = 4, 3_000


def texts(ring: EventRing) -> list[str]:
    """What there is, in order."""
    last = ring.last
    found = (ring.event(number) for number in range(max(1, last - EVENTS_MAX + 1), last + 1))
    return [event.text for event in found if event is not None]


def test_the_last_1024_are_kept_in_order() -> None:
    ring = EventRing()
    assert ring.last == 0
    assert ring.event(0) is None
    for number in range(1, EVENTS_MAX + 11):
        ring.write(number, NOTICE, f"event {number}")
    assert texts(ring) == [f"event {number}" for number in range(11, EVENTS_MAX + 11)]
    assert ring.event(10) is None
    assert ring.event(EVENTS_MAX + 11) is None
    assert ring.event(11) == (11, 11, NOTICE, "event 11")


def test_an_event_is_one_printable_line_of_limited_length() -> None:
    ring = EventRing()
    ring.write(1, NOTICE, "two\nlines \x1b[31m\udc80é")
    ring.write(2, NOTICE, "é" * 400)
    first, second = texts(ring)
    assert first == "two lines  [31m é"
    assert second.encode()[:480] == ("é" * 240).encode()
    assert len(second) == 240


def child(ring: EventRing, writer: int, count: int | None) -> int:
    """Fork a process that writes so many events, or goes on for ever."""
    pid = os.fork()
    if pid == 0:
        number = 0
        while count is None or number < count:
            number += 1
            ring.write(number, writer, f"{writer}:{number}:" + "x" * (number * 7 % 300))
        os._exit(0)
    return pid


def is_whole(text: str, level: int) -> bool:
    """Whether a text is what one writer wrote."""
    writer, number, filling = text.split(":")
    return int(writer) == level and len(filling) == int(number) * 7 % 300


def test_writers_at_the_same_time_never_show_a_torn_event() -> None:
    ring = EventRing()
    children = [child(ring, writer, EACH) for writer in range(WRITERS)]
    seen = 0
    while children:
        for number in range(max(1, ring.last - 50), ring.last + 1):
            event = ring.event(number)
            if event is not None:
                seen += 1
                assert is_whole(event.text, event.level), event
        if os.waitpid(children[-1], os.WNOHANG)[0]:
            children.pop()
    assert seen > 0
    assert ring.last == WRITERS * EACH
    assert len(texts(ring)) > EVENTS_MAX - WRITERS  # a writer that was overtaken loses its event


def test_a_writer_killed_at_any_moment_costs_its_event_and_no_other() -> None:
    ring = EventRing()
    for round_number in range(20):
        pid = child(ring, 1, None)
        before = ring.last
        deadline = time.monotonic() + 30
        while ring.last < before + 100 + round_number and time.monotonic() < deadline:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ring.write(1, 2, "2:1:" + "x" * 7)
        newest = ring.event(ring.last)
        assert newest is not None
        assert newest.text.startswith("2:1:")
    missing = EVENTS_MAX - len(texts(ring))
    assert missing <= 20


def test_a_torn_event_is_not_shown() -> None:
    """Two writers a whole round apart in one cell: of that only the bytes can be made here."""
    ring = EventRing()
    ring.write(1, NOTICE, "this one is whole")
    ring.write(2, NOTICE, "this one is torn")
    tear("this one is torn")
    assert texts(ring) == ["this one is whole"]
