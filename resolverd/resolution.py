"""The run-time resolution of one name: which question goes out when, and how a run ends. Pure.

Owns the state machine of one resolution: events go in with `now_ms`, actions come out. Knows no
socket, no clock, no segment and no server; what an outcome means for servers is assignment.py.

A run asks all nameservers at once and ends with the first valid reply, or with the last error once
it has run out of retries (transitions.py has the table). Between two runs lies `timeout resolve`,
counted from the end of a run, or what the TTLs of the answer say within bounds (`ttl_period`).

All attempts of a name stay open until its run ends: a valid reply to any of them ends it, an error
counts if it speaks of the type that is asked now. What was truncated is asked for again over TCP,
which the attempt waits for. The end of a run tells how it came out for each type that was asked.

A failed connect makes the next run due at once, if what is known is not fresh. Triggers that bring
nothing new back off: 1, 2, 4 ... s up to `hold valid`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from resolverd.answer import Address, Answer, QueryType, Question, Status, query_types
from resolverd.config import Family, ResolutionSettings, ResolversSection, names_of
from resolverd.hearing import Hearing, Outcome
from resolverd.search import Walk, candidates
from resolverd.transitions import ONE_TYPE_TRANSITIONS, TRANSITIONS, Event, State

TCP_MARGIN_MS = 20  # the time-out of a question over TCP comes before that of its attempt
TRIGGER_PAUSE_MS = 1_000  # after the first trigger that brought nothing new; doubled by the next
NOBODY: frozenset[str] = frozenset()  # one for all: an empty set is 216 bytes
NO_ERROR: frozenset[Status] = frozenset()
NO_ANSWER = Answer(Status.TIMEOUT)
# What says something of a type for as long as a TTL; NX beside records of the other type does too.
STATEMENTS = (Status.VALID, Status.NODATA, Status.NX)


class Trigger(enum.Enum):
    """Why somebody wants a name resolved before its time."""

    CONNECT_TIMEOUT = "timeout"
    CONNECT_REFUSED = "refused"


class Send(msgspec.Struct, frozen=True):
    """Ask all nameservers of the section."""

    question: Question


class Abandoned(msgspec.Struct, frozen=True):
    """The name that was asked for is given up for another: what still answers it is late."""


class Unanswered(msgspec.Struct, frozen=True):
    """The time-out of an attempt has passed and these nameservers have not answered it."""

    nameservers: tuple[str, ...]


class Finished(msgspec.Struct, frozen=True):
    """A run has ended; with VALID come the answer and the nameserver that gave it.

    After a failure `answer` holds the addresses that truncated replies brought, if any, and
    `nameserver` is the last that sent some. `outcomes` has the preferred type first.
    """

    status: Status
    answer: Answer = NO_ANSWER
    nameserver: str = ""
    outcomes: tuple[Outcome, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the answer."""
        return self.answer.addresses


Action = Send | Abandoned | Unanswered | Finished


def on_time(_period_ms: int) -> int:
    """Not early at all."""
    return 0


class Resolution:
    """The resolution of one name; `deadline_ms` says when `tick` has something to do.

    `last_valid_ms` is the end of the last valid run, at first the time of creation, so that a name
    that was never resolved has its grace as well; `family_valid_ms` says the same of each family,
    whose last valid answer may be older. `early_ms` tells by how much of `timeout resolve`
    the next run comes early, so that the runs of many names spread (M5); nothing else does.
    """

    def __init__(
        self,
        settings: ResolutionSettings,
        section: ResolversSection,
        families: tuple[Family, ...],
        now_ms: int,
        *,
        service: bool = False,
    ) -> None:
        """Idle, its first run due at once; `service` asks for SRV records of the name."""
        self.state = State.IDLE
        self.deadline_ms = now_ms
        self.last_valid_ms = now_ms
        self.family_valid_ms = {Family.IPV4: now_ms, Family.IPV6: now_ms}
        self.last_run_ms = 0
        self.last_status: Status | None = None
        self.early_ms: Callable[[int], int] = on_time
        self._types = query_types(settings.preferred, families)
        if service:
            self._types = (QueryType.SRV,)
        self._transitions = TRANSITIONS if len(self._types) > 1 else ONE_TYPE_TRANSITIONS
        self._settings = settings
        self._walk = Walk(settings.name)
        self._section = section
        self._retries_left = 0
        self._asking = self._types[0]
        self._everybody = names_of(section.nameservers)
        self._asked = NOBODY  # nameservers that the current attempt went to
        self._failed = NOBODY  # those of them that answered it with an error
        self._errors = NO_ERROR  # what they answered it with
        self._last_error: Status | None = None
        self._hearing = Hearing()
        self._trigger_waits = False  # the next run was asked for by a failed connect
        self._triggered = False  # so was the run that goes on, or the last
        self._trigger_pause_ms = 0  # after the last run no trigger counts for so long

    def __repr__(self) -> str:
        """Name, state and what the next deadline is about."""
        return (
            f"<Resolution {self._walk.name} {self.state.value} {self._asking.name} "
            f"retries={self._retries_left} deadline={self.deadline_ms}>"
        )

    def restore(
        self,
        last_valid_ms: int,
        family_valid_ms: dict[Family, int],
        last_run_ms: int,
        last_status: Status | None,
    ) -> None:
        """Carry on from what a predecessor recorded; graces keep running."""
        self.last_valid_ms = last_valid_ms
        self.family_valid_ms = family_valid_ms
        self.last_run_ms = last_run_ms
        self.last_status = last_status

    @property
    def asked_name(self) -> str:
        """The name asked for now, or last: with a search list, one of several."""
        return self._walk.name

    def follow(self, section: ResolversSection) -> None:
        """From the next question on other nameservers count, from the next run on another list."""
        self._section = section
        self._everybody = names_of(section.nameservers)

    @property
    def urgent(self) -> bool:
        """Whether the next run comes before others: the first one, or a triggered one."""
        return self._trigger_waits or self.last_status is None

    @property
    def types(self) -> tuple[QueryType, ...]:
        """The types that are asked for, in this order."""
        return self._types

    @property
    def trigger_waits(self) -> bool:
        """Whether a failed connect has asked for the next run."""
        return self._trigger_waits

    @property
    def triggers_held_until_ms(self) -> int:
        """Until then no failed connect asks for a run, because the last ones brought nothing."""
        return self.last_run_ms + self._trigger_pause_ms if self._trigger_pause_ms else 0

    def tick(self, now_ms: int) -> list[Action]:
        """Time has passed: start a run or end an attempt, if its deadline has come."""
        if now_ms < self.deadline_ms:
            return []
        if self.state is State.IDLE:
            return self._step(Event.DUE, now_ms)
        silent = tuple(sorted(self._asked - self._failed))
        actions: list[Action] = [Unanswered(silent)] if silent else []
        last = self._retries_left == 0
        if self._gives_up(last=last):
            return actions + self._go_on(now_ms)
        if last:
            return actions + self._step(Event.EXPIRED_LAST, now_ms)
        error = self._last_error is not None
        return actions + self._step(
            Event.EXPIRED_WITH_ERROR if error else Event.EXPIRED_SILENT, now_ms
        )

    def reply(
        self, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int
    ) -> list[Action]:
        """A nameserver has answered an open attempt of this run."""
        if self.state is State.IDLE:
            raise ValueError(f"reply of {nameserver} while {self!r}: no attempt is open")
        self._hearing.note(query_type, nameserver, answer)
        if answer.status is Status.VALID:
            return self._step(Event.VALID, now_ms, answer, nameserver)
        if query_type is not self._asking:
            return []  # late, about the other family: the question has moved on
        self._failed |= {nameserver}
        self._last_error = answer.status
        self._errors |= {answer.status}
        if self.state is State.PAUSED or not self._failed >= self._asked:
            return []
        both_asked = self._asking is self._types[-1]
        if self._gives_up(last=both_asked and self._retries_left == 0):
            return self._go_on(now_ms)
        return self._step(Event.ALL_FAILED if self._retries_left else Event.ALL_FAILED_LAST, now_ms)

    def unsent(self, nameserver: str) -> None:
        """The question could not be sent there: nobody waits for its answer."""
        self._asked -= {nameserver}

    def fetching(self, now_ms: int) -> None:
        """A truncated reply is asked for again over TCP, which may take `timeout retry`."""
        if self.state is not State.IDLE:
            end_ms = now_ms + self._section.timeout_retry_ms + TCP_MARGIN_MS
            self.deadline_ms = max(self.deadline_ms, end_ms)

    def trigger(self, kind: Trigger, began_ms: int, now_ms: int) -> bool:
        """Make a run due before its time; False while one goes on or what is known is fresh enough.

        A refused connect is ignored within `hold valid` of a valid run. A connect that timed out
        counts if it began (`began_ms`) after that answer: its address may be gone since.
        """
        if self.state is not State.IDLE or self._trigger_waits:
            return False
        if self.last_status is Status.VALID:
            fresh = now_ms < self.last_run_ms + self._section.holds.valid_ms
            outlived = kind is Trigger.CONNECT_TIMEOUT and began_ms > self.last_valid_ms
            if fresh and not outlived:
                return False
        if now_ms < self.last_run_ms + self._trigger_pause_ms:
            return False
        self._trigger_waits = True
        self.deadline_ms = now_ms
        return True

    def learned(self, news: bool) -> None:
        """Whether the run that has just ended brought anything new."""
        if news:
            self._trigger_pause_ms = 0
        elif self._triggered:
            doubled = max(TRIGGER_PAUSE_MS, 2 * self._trigger_pause_ms)
            self._trigger_pause_ms = min(doubled, self._section.holds.valid_ms)

    def _gives_up(self, *, last: bool) -> bool:
        """Whether an attempt has ended that leaves no hope for the name, while a list is walked."""
        if not self._walk.searching:
            return False
        self._walk.heard(self._asking, self._errors)
        return self._walk.gone(self._types, last=last)

    def _go_on(self, now_ms: int) -> list[Action]:
        if self._walk.ends:
            self._last_error = self._walk.verdict
            return self._step(Event.LAST_NAME_GONE, now_ms)
        self._walk.go_on()
        return [Abandoned(), *self._step(Event.NAME_GONE, now_ms)]

    def _step(
        self, event: Event, now_ms: int, answer: Answer | None = None, nameserver: str = ""
    ) -> list[Action]:
        before = self.state
        try:
            self.state = self._transitions[before, event]
        except KeyError:
            raise ValueError(f"event {event.name} in state {before.name} of {self!r}") from None
        if self.state is State.PREFERRED:
            if before is State.IDLE:
                self._begin()
            if event in (Event.DUE, Event.NAME_GONE):
                self._begin_name()
            self._retries_left = max(0, self._retries_left - 1)
            return self._send(self._types[0], now_ms)
        if self.state is State.FALLBACK:
            return self._send(self._types[1], now_ms)
        if self.state is State.IDLE:
            return self._finish(answer, nameserver, now_ms)
        return []  # PAUSED: the deadline of the attempt stands

    def _begin(self) -> None:
        name, section = self._settings.name, self._section
        search = section.search if self._settings.search else ()
        self._walk.begin(candidates(name, search, section.ndots))
        self._triggered, self._trigger_waits = self._trigger_waits, False

    def _begin_name(self) -> None:
        self._retries_left = self._section.resolve_retries
        self._hearing.clear()

    def _send(self, query_type: QueryType, now_ms: int) -> list[Action]:
        self._asking = query_type
        self._hearing.asked(query_type)
        self._asked = self._everybody
        self._failed = NOBODY
        self._errors = NO_ERROR
        self._last_error = None
        self.deadline_ms = now_ms + self._section.timeout_retry_ms
        return [Send(Question(self._walk.name, query_type))]

    def _pause_ms(self, answer: Answer | None, outcomes: tuple[Outcome, ...]) -> int:
        """How long until the next run; where a type has failed, TTLs do not delay it."""
        ttl = self._section.ttl_period
        if ttl is None:
            period_ms = self._section.timeout_resolve_ms
            return period_ms - self.early_ms(period_ms)
        if answer is None or any(each.status not in STATEMENTS for each in outcomes):
            return ttl.min_ms
        period_ms = max(ttl.min_ms, min(1_000 * answer.ttl_s, ttl.max_ms))
        return max(ttl.min_ms, period_ms - self.early_ms(period_ms))

    def _finish(self, answer: Answer | None, nameserver: str, now_ms: int) -> list[Action]:
        outcomes = self._hearing.outcomes()
        self.deadline_ms = now_ms + self._pause_ms(answer, outcomes)
        self.last_run_ms = now_ms
        if answer is None:
            self.last_status = status = self._last_error or Status.TIMEOUT
            held = Answer(
                status, tuple(a for each in outcomes for a in each.addresses), partial=True
            )
            sources = [each.nameserver for each in outcomes if each.addresses]
            return [Finished(status, held, sources[-1] if sources else "", outcomes)]
        self.last_status = Status.VALID
        self.last_valid_ms = now_ms
        self._walk.found()
        for each in outcomes:
            if each.status is Status.VALID:
                self.family_valid_ms[each.family] = now_ms
        return [Finished(Status.VALID, answer, nameserver, outcomes)]
