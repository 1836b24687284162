"""The states, events and transitions of a resolution. Pure; only tables.

         DUE                      ALL_FAILED
IDLE ----------> PREFERRED ------------------------> FALLBACK      (one family: -> PAUSED)
 ^                ^  |  ^    EXPIRED_WITH_ERROR (*)   |   |  |
 |    EXPIRED_... |  |  |                             |   |  |
 |        (again) +--+  +-----------------------------+   |  |
 |                   |    EXPIRED_SILENT / _WITH_ERROR    |  |
 |                   |                                    |  | ALL_FAILED
 |                   |       PAUSED <------------------------+
 |                   |          |  EXPIRED_...: -> PREFERRED
 +-------------------+----------+-- VALID, or EXPIRED_LAST, or ALL_FAILED_LAST in FALLBACK

Where a search list applies, NAME_GONE leads from anywhere to PREFERRED with the next name, and
LAST_NAME_GONE to IDLE (search.py says when).

IDLE       no run; the next one is due at `deadline_ms`
PREFERRED  the preferred type is asked for; each entry costs one retry. After an attempt without
           any reply the other type is asked beside it (attempts.py)
FALLBACK   the other family is asked for, because a nameserver answered with an error (*)
PAUSED     every nameserver answered with an error; the next try waits for `timeout retry`
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """The state of one line of a resolution."""

    IDLE = "idle"
    PREFERRED = "preferred"
    FALLBACK = "fallback"
    PAUSED = "paused"


class Event(enum.Enum):
    """The events of a line; _LAST: no retry is left."""

    DUE = "due"
    VALID = "valid"
    ALL_FAILED = "all failed"
    ALL_FAILED_LAST = "all failed, last try"
    EXPIRED_SILENT = "expired in silence"
    EXPIRED_WITH_ERROR = "expired after an error"
    EXPIRED_LAST = "expired, last try"
    NAME_GONE = "the name does not exist, the search list has another"
    LAST_NAME_GONE = "no name of the search list exists"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.DUE): State.PREFERRED,
    (State.PREFERRED, Event.VALID): State.IDLE,
    (State.PREFERRED, Event.ALL_FAILED): State.FALLBACK,
    (State.PREFERRED, Event.ALL_FAILED_LAST): State.FALLBACK,
    (State.PREFERRED, Event.EXPIRED_SILENT): State.PREFERRED,
    (State.PREFERRED, Event.EXPIRED_WITH_ERROR): State.FALLBACK,
    (State.PREFERRED, Event.EXPIRED_LAST): State.IDLE,
    (State.FALLBACK, Event.VALID): State.IDLE,
    (State.FALLBACK, Event.ALL_FAILED): State.PAUSED,
    (State.FALLBACK, Event.ALL_FAILED_LAST): State.IDLE,
    (State.FALLBACK, Event.EXPIRED_SILENT): State.PREFERRED,
    (State.FALLBACK, Event.EXPIRED_WITH_ERROR): State.PREFERRED,
    (State.FALLBACK, Event.EXPIRED_LAST): State.IDLE,
    (State.PAUSED, Event.VALID): State.IDLE,
    (State.PAUSED, Event.EXPIRED_WITH_ERROR): State.PREFERRED,
    (State.PAUSED, Event.EXPIRED_LAST): State.IDLE,
    (State.PREFERRED, Event.NAME_GONE): State.PREFERRED,
    (State.PREFERRED, Event.LAST_NAME_GONE): State.IDLE,
    (State.FALLBACK, Event.NAME_GONE): State.PREFERRED,
    (State.FALLBACK, Event.LAST_NAME_GONE): State.IDLE,
    (State.PAUSED, Event.NAME_GONE): State.PREFERRED,
    (State.PAUSED, Event.LAST_NAME_GONE): State.IDLE,
}

# With one type only there is no fall-back: the line waits for `timeout retry` instead.
ONE_TYPE_TRANSITIONS: dict[tuple[State, Event], State] = TRANSITIONS | {
    (State.PREFERRED, Event.ALL_FAILED): State.PAUSED,
    (State.PREFERRED, Event.ALL_FAILED_LAST): State.PAUSED,
    (State.PREFERRED, Event.EXPIRED_WITH_ERROR): State.PREFERRED,
}
