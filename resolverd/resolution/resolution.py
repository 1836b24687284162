"""The run-time resolution of one name: which question goes out when, and how a run ends. Pure.

Owns the state machine of one resolution: events go in with `now_ms`, actions come out. Knows no
socket, clock, segment or server; what an outcome means for servers is assignment/hosts.py.

A run asks all nameservers at once and ends with the first valid reply, or with the last error once
it has run out of retries (transitions.py has the table). Between two runs lies `timeout resolve`,
counted from the end of a run, or what the TTLs of the answer say within bounds (`ttl_period`).

All attempts of a name stay open until its run ends: a valid reply to any of them ends it, an error
counts if it speaks of the type that is asked now. What was truncated is asked for again over TCP,
which the attempt waits for. The end of a run tells how it came out for each type that was asked.

An attempt at the preferred type that met silence is followed by one at both types. The answer of
the other waits for the end of that attempt, in case the preferred type is only slow.

A name whose families are merged (`resolve-opts all-families`) is asked for both types at once, each
with retries of its own (attempts.py). The run ends when each type is answered or has failed. NODATA
is not asked for again where the other type is answered; and an answer waits for the first attempt
at the other type, so that the preferred family comes first, not for its retries (`Gained`).

A failed connect makes the next run due at once, if what is known is not fresh. Triggers that bring
nothing new back off: 1, 2, 4 ... s up to `hold valid`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Set

from resolverd.config import Family, ResolutionSettings, ResolversSection, names_of
from resolverd.dns.answer import Answer, QueryType, Question, Status, query_types
from resolverd.pace.run_limit import Turn
from resolverd.resolution.actions import Abandoned, Action, Finished, Gained, Send, Unanswered
from resolverd.resolution.attempts import NOBODY, Asking
from resolverd.resolution.hold_rules import hold_ms
from resolverd.resolution.leases import Lease, Leases
from resolverd.resolution.run_outcomes import Hearing, Outcome
from resolverd.resolution.search import Walk, candidates
from resolverd.resolution.transitions import Event, State

TCP_MARGIN_MS = 20  # the time-out of a question over TCP comes before that of its attempt
TRIGGER_PAUSE_MS = 1_000  # after the first trigger that brought nothing new; doubled by the next
# What says something of a type for as long as a TTL; NX beside records of the other type does too.
STATEMENTS = (Status.VALID, Status.NODATA, Status.NX)


class Trigger(enum.Enum):
    """Why somebody wants a name resolved before its time."""

    CONNECT_TIMEOUT = "timeout"
    CONNECT_REFUSED = "refused"


def on_time(_period_ms: int) -> int:
    """Not early at all."""
    return 0


class Resolution:
    """The resolution of one name; `deadline_ms` says when `tick` has something to do.

    `leases` know the end of the last valid run, at first the time of creation, so that a name that
    was never resolved has its grace as well. `early_ms` tells by how much of `timeout resolve` the
    next run comes early, so that the runs of many names spread (M5); nothing else does.
    `silent` has the nameservers that nobody waits for (silence.py).
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
        self.deadline_ms = now_ms
        self.leases = Leases(now_ms)
        self.last_run_ms = 0
        self.last_status: Status | None = None
        self.early_ms: Callable[[int], int] = on_time
        self.silent: Set[str] = NOBODY
        self.types = query_types(settings.preferred, families)  # the preferred first
        if service:
            self.types = (QueryType.SRV,)
        self.merges = settings.all_families and len(self.types) > 1
        lines = [(each,) for each in self.types] if self.merges else [self.types]
        self._lines = tuple(Asking(types) for types in lines)
        self._settings = settings
        self._walk = Walk(settings.name)
        self._section = section
        self._everybody = names_of(section.nameservers)
        self._hearing = Hearing()
        self._told = False  # what has been gained in this run
        self._begun_ms = now_ms  # the run that goes on, or the last
        self._trigger_waits = False  # the next run was asked for by a failed connect
        self._triggered = False  # so was the run that goes on, or the last
        self._trigger_pause_ms = 0  # after the last run no trigger counts for so long

    def __repr__(self) -> str:
        """Name, state and what the next deadline is about."""
        lines = ", ".join(map(repr, self._lines))
        return f"<Resolution {self._walk.name} {lines} deadline={self.deadline_ms}>"

    def restore(
        self,
        last_valid_ms: int,
        family_valid_ms: dict[Family, int],
        last_run_ms: int,
        last_status: Status | None,
    ) -> None:
        """Carry on from what a predecessor recorded; graces keep running."""
        leases = {family: self.lease(valid_ms) for family, valid_ms in family_valid_ms.items()}
        self.leases.restore(self.lease(last_valid_ms), leases)
        self.last_run_ms = last_run_ms
        self.last_status = last_status

    def lease(self, valid_ms: int) -> Lease:
        """The lease of a predecessor's answer: it ends with the run that is due next."""
        ttl, period_ms = self._section.ttl_period, self._section.timeout_resolve_ms
        longest_ms = period_ms if ttl is None else ttl.max_ms
        lease = Lease(valid_ms, valid_ms + longest_ms)
        return lease.ended_early(self.deadline_ms, self._section.holds)

    @property
    def last_valid_ms(self) -> int:
        """When the last valid answer came."""
        return self.leases.last_valid_ms

    @property
    def state(self) -> State:
        """Where it stands: PAUSED if all that goes on waits for its next try."""
        if len(self._lines) == 1:
            return self._lines[0].state
        states = [line.state for line in self._lines if line.is_open]
        return next((each for each in states if each is not State.PAUSED), (*states, State.IDLE)[0])

    @property
    def questions(self) -> int:
        """How many questions it may have at each nameserver at once."""
        return len(self._lines)

    @property
    def asked_name(self) -> str:
        """The name asked for now, or last: with a search list, one of several."""
        return self._walk.name

    def follow(self, section: ResolversSection) -> None:
        """From the next question on other nameservers count, from the next run on another list."""
        self._section = section
        self._everybody = names_of(section.nameservers)

    @property
    def turn(self) -> Turn:
        """Whether the next run comes before others: the first one, or a triggered one."""
        if self._trigger_waits or self.last_status is None:
            return Turn.URGENT
        return Turn.VALID if self.last_status is Status.VALID else Turn.FAILING

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
            self._begin(now_ms)
            return self._ask(now_ms)
        actions: list[Action] = []
        for line in self._lines:
            if line.is_open and line.deadline_ms <= now_ms:
                actions += self._expire(line, now_ms)
        return actions

    def reply(
        self, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int
    ) -> list[Action]:
        """A nameserver has answered an open attempt of this run."""
        if self.state is State.IDLE:
            raise ValueError(f"reply of {nameserver} while {self!r}: no attempt is open")
        self._hearing.note(query_type, nameserver, answer)
        line = self._line(query_type)
        line.heard(query_type, answer.status)
        if not line.is_open:
            return []  # this type is through, the run waits for the other
        if answer.status is Status.VALID:
            return self._accept(line, query_type, now_ms)
        if query_type is not line.wanted:
            return []  # late, about the other family: the question has moved on
        if not line.refused(nameserver, answer.status):
            return []
        both_asked = line.wanted is line.types[-1]
        if self._gives_up(line, last=both_asked and line.retries_left == 0):
            return self._go_on(now_ms)
        return self._step(line, line.all_failed, now_ms)

    def unsent(self, nameserver: str, query_type: QueryType) -> None:
        """The question could not be sent there: nobody waits for its answer."""
        self._line(query_type).unsent(nameserver, query_type)

    def fetching(self, query_type: QueryType, now_ms: int) -> None:
        """A truncated reply is asked for again over TCP, which may take `timeout retry`."""
        line = self._line(query_type)
        if line.is_open:
            end_ms = now_ms + self._section.timeout_retry_ms + TCP_MARGIN_MS
            line.deadline_ms = max(line.deadline_ms, end_ms)
            self._set_deadline()

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

    def _accept(self, line: Asking, query_type: QueryType, now_ms: int) -> list[Action]:
        """A valid answer ends the line, but for one that was asked for beside the preferred type.

        That type may be slow only: it has the time of this attempt.
        """
        return [] if query_type is line.beside else self._step(line, Event.VALID, now_ms)

    def _line(self, query_type: QueryType) -> Asking:
        return next(line for line in self._lines if query_type in line.types)

    def _set_deadline(self) -> None:
        self.deadline_ms = min(line.deadline_ms for line in self._lines if line.is_open)

    def _expire(self, line: Asking, now_ms: int) -> list[Action]:
        """The time of an attempt has passed."""
        silent = line.silent
        actions: list[Action] = [Unanswered(silent)] if silent else []
        if self._gives_up(line, last=line.retries_left == 0):
            return actions + self._go_on(now_ms)
        event = Event.EXPIRED_LAST if self._is_denied(line) else line.expired
        return actions + self._step(line, event, now_ms)

    def _is_denied(self, line: Asking) -> bool:
        """Whether a type need not be asked for again: it has no records, the other type has."""
        hearing = self._hearing
        return hearing.has_valid and hearing.of(line.wanted).status is Status.NODATA

    def _gives_up(self, line: Asking, *, last: bool) -> bool:
        """Whether an attempt has ended that leaves no hope for the name, while a list is walked."""
        if not self._walk.searching:
            return False
        errors = line.errors
        if line.beside is not None:
            self._walk.heard(line.beside, line.beside_errors)
            if not errors and line.beside_errors == {Status.NX}:
                errors = line.beside_errors  # it is said of the name, whatever the type
        self._walk.heard(line.wanted, errors)
        if self._hearing.has_valid:
            return False
        last = last and not any(each.is_open for each in self._lines if each is not line)
        return self._walk.gone(self.types, last=last)

    def _go_on(self, now_ms: int) -> list[Action]:
        if self._walk.ends:
            for line in self._lines:
                if line.is_open:
                    line.step(Event.LAST_NAME_GONE)
            return self._fail(self._hearing.denied(self._walk.verdict), self._walk.verdict, now_ms)
        self._walk.go_on()
        return [Abandoned(), *self._ask(now_ms)]

    def _begin(self, now_ms: int) -> None:
        name, section = self._settings.name, self._section
        search = section.search if self._settings.search else ()
        self._walk.begin(candidates(name, search, section.ndots))
        self._triggered, self._trigger_waits = self._trigger_waits, False
        self._begun_ms = now_ms

    def _ask(self, now_ms: int) -> list[Action]:
        """Ask for a name from the beginning."""
        self._hearing.clear()
        self._told = False
        for line in self._lines:
            line.begin(self._section.resolve_retries)
        return [action for line in self._lines for action in self._send(line, now_ms)]

    def _send(self, line: Asking, now_ms: int) -> list[Action]:
        for query_type in line.asked:
            self._hearing.asked(query_type)
        deadline_ms = now_ms + self._section.timeout_retry_ms
        line.sent(self._everybody, deadline_ms, self.silent)
        self._set_deadline()
        return [Send(Question(self._walk.name, query_type)) for query_type in line.asked]

    def _step(self, line: Asking, event: Event, now_ms: int) -> list[Action]:
        if line.beside is not None and self._hearing.has_valid:
            event = Event.VALID  # of the type beside it; the preferred one has had its time
        actions = self._send(line, now_ms) if line.step(event) else []
        for each in self._lines:
            if each.state is State.PAUSED and self._is_denied(each):
                each.step(Event.EXPIRED_LAST)
        if not any(each.is_open for each in self._lines):
            return self._finish(now_ms)
        self._set_deadline()
        return actions + self._gain(now_ms)

    def _gain(self, now_ms: int) -> list[Action]:
        """Tell what is answered already, once the other type has to be asked for again."""
        if self._told or not self._hearing.has_valid:
            return []
        if any(line.is_open and not line.has_failed_once for line in self._lines):
            return []
        self._told = True
        (outcome,) = [each for each in self._hearing.outcomes() if each.status is Status.VALID]
        self.leases.answered([outcome.family], now_ms, 0)  # until the end of the run says more
        return [Gained(outcome)]

    def _period_ms(self, answer: Answer | None, outcomes: tuple[Outcome, ...]) -> int:
        """How long until the next run at most; where a type has failed, TTLs do not delay it."""
        ttl = self._section.ttl_period
        if ttl is None:
            return self._section.timeout_resolve_ms
        if answer is None or any(each.status not in STATEMENTS for each in outcomes):
            return ttl.min_ms
        return max(ttl.min_ms, min(1_000 * answer.ttl_s, ttl.max_ms))

    def _pause(self, period_ms: int, now_ms: int) -> None:
        """Nothing is to be done until the next run."""
        ttl = self._section.ttl_period
        shortest_ms = 0 if ttl is None else ttl.min_ms
        self.deadline_ms = now_ms + max(shortest_ms, period_ms - self.early_ms(period_ms))

    def _finish(self, now_ms: int) -> list[Action]:
        if not self.merges:
            self._hearing.prefer(self.types[0])
        outcomes, answer = self._hearing.outcomes(), self._hearing.answer(merges=self.merges)
        if answer is None:
            return self._fail(outcomes, self._failure(outcomes), now_ms)
        period_ms = self._period_ms(answer, outcomes)
        self._pause(period_ms, now_ms)
        self.last_run_ms = now_ms
        self.last_status = Status.VALID
        self._walk.found()
        valid = [each for each in outcomes if each.status is Status.VALID]
        self._end_leases(outcomes)
        self.leases.answered([each.family for each in valid], now_ms, period_ms)
        return [Finished(Status.VALID, answer, valid[0].nameserver, outcomes)]

    def _end_leases(self, outcomes: tuple[Outcome, ...]) -> None:
        """A failed connect has asked, and was not answered."""
        if self._triggered:
            failed = [each.family for each in outcomes if each.status is not Status.VALID]
            self.leases.end_early(failed, self._begun_ms, self._section.holds)

    def _failure(self, outcomes: tuple[Outcome, ...]) -> Status:
        """The status of a run without a valid answer: of two lines, that whose records stay longer.

        It is the one that `last_valid_ms` speaks of.
        """
        if len(self._lines) == 1:
            return self._lines[0].failure
        holds, leases = self._section.holds, self.leases
        return max(
            outcomes,
            key=lambda each: (leases.valid_ms(each.family), hold_ms(holds, each.status)),
        ).status

    def _fail(self, outcomes: tuple[Outcome, ...], status: Status, now_ms: int) -> list[Action]:
        self._pause(self._period_ms(None, outcomes), now_ms)
        self.last_run_ms = now_ms
        self.last_status = status
        self._end_leases(outcomes)
        held = Answer(status, tuple(a for each in outcomes for a in each.addresses), partial=True)
        sources = [each.nameserver for each in outcomes if each.addresses]
        return [Finished(status, held, sources[-1] if sources else "", outcomes)]
