"""The accounts of names, records and servers in the mailbox: structs, encoded as JSON.

Owns their words, on which programs may rely. Knows no source of their values. A field `..._age_ms`
counts back from the time of the answer, `..._in_ms` forward; None: never, or unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

TOGETHER = "+"  # between types that are asked for at once


def asks(types: Iterable[enum.Enum], *, merges: bool) -> str:
    """The record types in text: "A,AAAA" one after the other, "A+AAAA" at once."""
    return (TOGETHER if merges else ",").join(each.name for each in types)


class QuestionKind(enum.IntEnum):
    """The kinds of questions in the mailbox."""

    NAMES = 1  # Summary of all names, by key from `cursor` on
    NAME = 2  # Account of the names equal to `text`
    SERVER = 3  # Account of each name that feeds slot `key`, with that server only


class Why(enum.StrEnum):
    """Why a server has its address or none, and why a record has no server."""

    CONFIRMED = "confirmed"  # the last valid answer has the record
    STICKY = "sticky"  # likewise, though a free record has a better score
    OBSOLETE = "hold obsolete"  # the last valid answer is without it
    HOLD_NX = "hold nx"  # the last run has failed
    HOLD_REFUSED = "hold refused"
    HOLD_TIMEOUT = "hold timeout"
    HOLD_OTHER = "hold other"
    CUT = "cut answer"  # the last answer was cut and could not be completed
    UNCONFIRMED = "not confirmed yet"  # of init-addr, a state file or a former process
    TARGET = "target"  # an SRV record without an address: its target has a resolution of its own
    NO_ANSWER = "no valid answer yet"
    EXPIRED = "hold has passed"  # all nameservers have failed for longer than the hold
    DUPLICATE = "duplicate"  # each record is held by another server of the backend
    NO_RECORD = "no record"  # fewer records than servers
    NO_SERVER = "no server left"
    NOT_IN_NETWORK = "outside resolve-net"  # no server left, because others score higher by it
    OTHER_FAMILY = "other family"  # likewise


class Reply(msgspec.Struct):
    """The last answer of a nameserver."""

    nameserver: str
    status: str | None = None  # None: it has not answered yet
    query_type: str = ""
    age_ms: int | None = None
    records: int = 0
    cut: bool = False
    sent: bool = True  # whether the last question has reached it


class Summary(msgspec.Struct):
    """One name."""

    key: int
    name: str
    section: str
    asks: str  # the record types, in the order of asking; with a plus: both at once
    origin: str  # configuration, added server, order (of the operator) or target (of SRV)
    state: str
    status: str | None  # of the last run
    last_valid_age_ms: int | None
    last_run_age_ms: int | None
    next_in_ms: int | None
    next_cause: str
    records: int
    servers: int
    used: int
    missing: int
    stale: bool  # servers keep their addresses by a hold
    dropped_in_ms: int | None  # the end of that hold
    hold: str  # its name
    triggers_held_ms: int = 0  # for so long failed connects trigger no run
    live: bool = True  # from resolverd; False: from the segment alone


class Record(msgspec.Struct):
    """One known record."""

    record: str
    seen_age_ms: int
    forgotten_in_ms: int | None  # None: the last answer has it
    holders: list[str]
    holders_more: int = 0
    refused: dict[str, Why] = {}  # by backend: why no server has it
    refused_more: int = 0  # other backends without it
    weight: int | None = None
    priority: int | None = None
    addresses: list[str] = []
    addresses_more: int = 0


class Move(msgspec.Struct):
    """One change of a server's address."""

    age_ms: int
    before: str | None
    after: str | None
    by: str


class ServerAccount(msgspec.Struct):
    """One server that a name feeds."""

    slot: int
    server: str
    address: str | None
    port: int
    why: Why
    left_ms: int | None = None  # until `why` ends
    target: str = ""
    moves: list[Move] = []


class Account(msgspec.Struct):
    """One name in full; `records`, then `servers`, go on in the next page."""

    summary: Summary
    question: str | None
    asked_name: str  # with a search list: the last candidate that was asked for
    asked_age_ms: int | None
    replies: list[Reply]
    records: list[Record] = []
    servers: list[ServerAccount] = []


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One answer in the mailbox; the last has `cursor` -1. `error`: why there is no answer."""

    rows: list[T]
    cursor: int = -1
    error: str = ""
