"""One line of questions within a run: its type now, the errors of nameservers, the next step. Pure.

Owns attempts, retries and fall-back by the tables of transitions.py. A run has one line, for one
type or for the preferred and then the other; a run that merges both families has a line for each.
After an attempt at the preferred type without any reply, the other type is asked beside it; with a
single attempt in each run, that of the former run counts. Knows no name, no search list, no period
between runs and no content of answers.
"""

from __future__ import annotations

from collections.abc import Set

from resolverd.dns.answer import QueryType, Status
from resolverd.resolution.transitions import ONE_TYPE_TRANSITIONS, TRANSITIONS, Event, State

NO_NAMESERVER: frozenset[str] = frozenset()  # shared by all: an empty set is 216 bytes
DENIALS = frozenset({Status.NX, Status.NODATA})
NO_ERROR: frozenset[Status] = frozenset()
EXPIRED = (Event.EXPIRED_SILENT, Event.EXPIRED_LAST)


class QuestionLine:
    """The line; `deadline_ms` is the end of its attempt, `state` is IDLE when it has ended."""

    __slots__ = (
        "_asked",
        "_awaited",
        "_failed",
        "_fetches",
        "_full_ms",
        "_met_silence",
        "_transitions",
        "beside",
        "beside_error",
        "beside_errors",
        "deadline_ms",
        "errors",
        "is_hurried",
        "last_error",
        "repeated",
        "retries_left",
        "state",
        "types",
        "wanted",
    )

    def __init__(self, types: tuple[QueryType, ...]) -> None:
        """Of two types the first is preferred."""
        self.types = types
        self.state = State.IDLE
        self.deadline_ms = 0
        self.wanted = types[0]  # the type of the present attempt, or of the last
        self.retries_left = 0
        self.beside: QueryType | None = None  # the other type, asked at the same time
        self.beside_errors = NO_ERROR  # the errors of its replies
        self.beside_error: Status | None = None  # the last of them
        self.repeated = False  # whether an attempt before this one has failed
        self.errors = NO_ERROR  # the errors of replies to the attempt
        self.last_error: Status | None = None
        self.is_hurried = False  # the attempt ends before its time-out, `_full_ms`
        self._full_ms = 0
        self._fetches = False  # a truncated reply to it is asked for again
        self._asked = NO_NAMESERVER  # those of the attempt
        self._awaited = NO_NAMESERVER  # those of them whose errors together end it
        self._failed = NO_NAMESERVER  # those of them that answered it with an error
        self._met_silence = False  # no reply about the preferred type since an attempt timed out
        self._transitions = TRANSITIONS if len(types) > 1 else ONE_TYPE_TRANSITIONS

    def __repr__(self) -> str:
        """State, type and retries."""
        return f"{self.state.value} {self.wanted.name} retries={self.retries_left}"

    @property
    def is_open(self) -> bool:
        """Whether the line has not ended yet."""
        return self.state is not State.IDLE

    @property
    def asked(self) -> tuple[QueryType, ...]:
        """The types that the attempt asks for."""
        return (self.wanted,) if self.beside is None else (self.wanted, self.beside)

    @property
    def silent(self) -> tuple[str, ...]:
        """The nameservers that have not answered the attempt."""
        return tuple(sorted(self._asked - self._failed))

    @property
    def has_failed_once(self) -> bool:
        """Whether an attempt has failed."""
        return self.repeated or self.state is State.PAUSED

    def begin(self, retries: int) -> QueryType:
        """Ask for a name with all retries: in a new run, or the next of a search list."""
        self.retries_left = retries
        self.step(Event.NAME_GONE if self.is_open else Event.DUE)
        self.repeated = False
        return self.wanted

    def step(self, event: Event) -> bool:
        """Take a transition; True if `wanted` is to be asked for now.

        Raises ValueError for an event that cannot happen in this state.
        """
        before = self.state
        try:
            self.state = self._transitions[before, event]
        except KeyError:
            raise ValueError(f"event {event.name} in state {before.name}") from None
        if before is State.PREFERRED and event in EXPIRED and self.last_error is None:
            self._met_silence = True
        self.beside = None
        if self.state is State.PREFERRED:
            self.retries_left = max(0, self.retries_left - 1)
            self.wanted = self.types[0]
            if self._met_silence and (event is not Event.DUE or self.retries_left == 0):
                self.beside = self.types[-1] if len(self.types) > 1 else None
        elif self.state is State.FALLBACK:
            self.wanted = self.types[1]
        else:
            self._wait_in_full()  # PAUSED: for as long as the attempt might have taken
            return False
        self.repeated = True
        return True

    def sent(
        self, nameservers: frozenset[str], deadline_ms: int, silent: Set[str] = NO_NAMESERVER
    ) -> None:
        """The question was sent to `nameservers`; the `silent` are not awaited, unless all are."""
        self._asked, self._failed = nameservers, NO_NAMESERVER
        self._awaited = nameservers - silent if silent else nameservers
        self.errors, self.last_error = NO_ERROR, None
        self.beside_errors, self.beside_error = NO_ERROR, None
        self.deadline_ms = self._full_ms = deadline_ms
        self.is_hurried = self._fetches = False

    def hurry(self, deadline_ms: int) -> None:
        """End the attempt then, if not sooner; one that asks again over TCP has its time."""
        if deadline_ms < self.deadline_ms and not self._fetches:
            self.deadline_ms = deadline_ms
            self.is_hurried = True

    def fetching(self, deadline_ms: int) -> None:
        """A truncated reply is asked for again: the attempt lasts until then at least."""
        self.deadline_ms = self._full_ms = max(self._full_ms, deadline_ms)
        self.is_hurried, self._fetches = False, True

    def _wait_in_full(self) -> None:
        self.deadline_ms = self._full_ms
        self.is_hurried = False

    def unsent(self, nameserver: str, query_type: QueryType) -> None:
        """A question did not reach this nameserver, which is not awaited."""
        if query_type is not self.wanted:
            return  # the attempt waits for answers about `wanted` only
        self._asked -= {nameserver}
        self._awaited -= {nameserver}

    def heard(self, query_type: QueryType, status: Status) -> None:
        """A nameserver has answered a question of the line, with any status, on time or late."""
        if query_type is self.types[0]:
            self._met_silence = False
        if query_type is self.beside and status is not Status.VALID:
            self.beside_error = status
            self.beside_errors |= {status}

    def refused(self, nameserver: str, status: Status) -> bool:
        """A nameserver has answered the attempt with an error; True if that ends the attempt."""
        self._failed |= {nameserver}
        self.last_error = status
        self.errors |= {status}
        if status not in DENIALS:
            self._wait_in_full()
        return self.state is not State.PAUSED and not self.awaited

    @property
    def is_denied(self) -> bool:
        """Whether all replies to the attempt are denials; it has some, and goes on."""
        return bool(self.errors) and self.errors <= DENIALS and self.state is not State.PAUSED

    @property
    def awaited(self) -> frozenset[str]:
        """The nameservers whose errors would end the attempt."""
        return (self._awaited or self._asked) - self._failed

    @property
    def failure(self) -> Status:
        """The status of the last attempt: an error about `beside` says more than TIMEOUT."""
        return self.last_error or self.beside_error or Status.TIMEOUT

    @property
    def all_failed(self) -> Event:
        """The event when all nameservers have answered with errors."""
        return Event.ALL_FAILED if self.retries_left else Event.ALL_FAILED_LAST

    @property
    def expired(self) -> Event:
        """The event when the attempt has timed out."""
        if self.retries_left == 0:
            return Event.EXPIRED_LAST
        return Event.EXPIRED_SILENT if self.last_error is None else Event.EXPIRED_WITH_ERROR
