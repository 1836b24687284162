"""No reply of a server makes a dialect raise, loop, or keep more than its share: without sockets.

A step is a call of any function, Python's own among them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from random import Random
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Dialect,
    Ended,
    Event,
    Received,
)
from tests.support.generated import examples, sample
from tests.support.replies.dialects import cases_of
from tests.support.replies.driver import NAMES, SILENT, obey
from tests.support.replies.judgement import said

STEPS_MAX = 300  # of one event
STEPS_OF_A_BYTE = 5  # and for each byte of it: chunks and fields may be short
EVENTS = sample(50, full=1_000)
KEPT_MAX = 4 * RECEIVED_MAX  # bytes: what was received, what of it is a body, header fields


def watched(dialect: Dialect, event: Event) -> Answer:
    """What a dialect answers, once its steps are counted and what it keeps was weighed."""
    steps = 0

    def count(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal steps
        steps += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        answer = dialect.answer(event)
    finally:
        sys.setprofile(before)
    size = len(event.data) if isinstance(event, Received | Ended) else 0
    assert steps <= STEPS_MAX + STEPS_OF_A_BYTE * size, (event, steps)
    assert kept(dialect) <= KEPT_MAX
    return answer


def kept(thing: object, depth: int = 4) -> int:
    """Bytes of all text that a check's objects hold, rules aside."""
    if isinstance(thing, bytes | bytearray):
        return sys.getsizeof(thing)
    if isinstance(thing, list | tuple):
        return sys.getsizeof(thing) + sum(kept(each, depth) for each in thing)
    fields = [name for name in getattr(type(thing), "__slots__", ()) if "script" not in name]
    held = [getattr(thing, name) for name in fields if hasattr(thing, name)]
    return sum(kept(each, depth - 1) for each in held) if depth else 0


def cut(data: bytes, chance: Random) -> Iterator[bytes]:
    """The bytes in pieces of one to many bytes."""
    at, most = 0, chance.choice((1, 9, 1_000, RECEIVED_MAX) if len(data) < 500 else (1_000, 9_000))
    while at < len(data):
        to = at + chance.randrange(1, most + 1)
        yield data[at:to]
        at = to


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=examples(30))
@given(
    data=st.binary(max_size=300), count=st.integers(1, 200), code=st.sampled_from((SILENT, 0, 104))
)
def test_any_bytes_end_in_a_result(name: str, data: bytes, count: int, code: int) -> None:
    obey(name, cut(data * count, Random(count)), code, watched)


@pytest.mark.parametrize("name", NAMES)
def test_any_damaged_reply_ends_in_a_result(name: str, seed: int) -> None:
    chance = Random(seed)
    for case in cases_of(name, seed, examples(30)):
        obey(name, cut(said(case), chance), chance.choice((SILENT, 0, 104)), watched)


ENDLESS = {
    "nothing": b"\0",
    "a letter": b"H",
    "lines": b"\r\n",
    "lines of mail": b"220-a\r\n",
    "responses": b"HTTP/1.1 100 C\r\nA: b\r\n\r\n",
    "fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 9,
    "folds": b"HTTP/1.1 200 OK\r\nA: b\r\n" + b" c\r\n" * 4_000,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 4_000,
    "a chunk's size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 20_000,
    "a body": b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 20_000,
    "packets": b"\0\0\0\0",
    "tags": b"\x30\x84\0\0\0\x0e",
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("name", NAMES)
def test_who_sends_forever_is_judged_or_forgotten(name: str, what: str) -> None:
    data = ENDLESS[what]
    for size in (1, 700, RECEIVED_MAX):
        whole = (data * (EVENTS * size // len(data) + 1))[: EVENTS * size]
        obey(name, (whole[at : at + size] for at in range(0, len(whole), size)), SILENT, watched)
