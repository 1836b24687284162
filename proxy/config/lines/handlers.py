"""Handlers that set one field of whatever a section or a line is read into.

Owns how a number, a word, a time and a flag are taken, and how an immutable part of a draft is
changed: a field may be `<part>.<field>`. Knows no keyword and no draft.
"""

from __future__ import annotations

import msgspec

from proxy.config.lines.table import D, Handler, Prefix, Statement
from proxy.config.text.units import parse_time_ms


def store(draft: object, field: str, value: object) -> None:
    """Set a field of a draft, or the field of a part of it."""
    part, dot, name = field.rpartition(".")
    if dot:
        changed = msgspec.structs.replace(getattr(draft, part), **{name: value})
        setattr(draft, part, changed)
    else:
        setattr(draft, field, value)


def number(field: str, low: int, high: int) -> Handler[D]:
    """A handler that stores a number within the limits."""

    def handle(statement: Statement, draft: D) -> None:
        store(draft, field, statement.number(low, high))

    return handle


def text(field: str, what: str) -> Handler[D]:
    """A handler that stores one word; messages say that `what` is expected."""

    def handle(statement: Statement, draft: D) -> None:
        store(draft, field, statement.one(what))

    return handle


def time(field: str) -> Handler[D]:
    """A handler that stores a time in milliseconds; 0 is one."""

    def handle(statement: Statement, draft: D) -> None:
        store(draft, field, parse_time_ms(statement.one("a time"), statement.warn))

    return handle


def flag(field: str, value: bool = True) -> Handler[D]:
    """A handler that stores `value` and takes no argument; `no` stores False."""

    def handle(statement: Statement, draft: D) -> None:
        statement.at_most(0)
        store(draft, field, value if statement.prefix is not Prefix.NO else False)

    return handle
