"""The resolution of one name while the program runs: when to ask what, and how a run ends. Pure.

Owns the state machine of one resolution: events go in with `now_ms`, actions come out. Knows no
socket, clock, segment or server; assignment/hosts.py applies outcomes to servers.

A run asks all nameservers at once and ends with the first valid reply, or with the last error when
no retry is left (transitions.py has the table). The next run is due `timeout resolve` after the end
of a run, or after the TTL of the answer within bounds (`ttl_period`).

All attempts of a name stay open until its run ends: a valid reply to any of them ends it, an error
counts if it is about the type of the present attempt. A truncated reply is asked for again over
TCP, for which the attempt waits. A run ends with one outcome for each type that was asked.

After an attempt at the preferred type without any reply, the next asks for both types. An answer
about the other type waits for the end of that attempt, because the preferred type may only be slow.

A name whose families are merged (`resolve-opts all-families`) is asked for both types at once, each
with retries of its own (attempts.py). The run ends when each type is answered or has failed. After
NODATA a type is not asked for again if the other is answered; and an answer waits for the first
attempt at the other type, so that the preferred family comes first, not for its retries (`Gained`).

A failed connect makes the next run due at once, unless the last answer is fresh. Triggers without
a change back off: 1, 2, 4 ... s up to `hold valid`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Set

from resolverd.config import Family, ResolutionSettings, ResolversSection, names_of
from resolverd.dns.answer import Answer, QueryType, Question, Status, query_types
from resolverd.pace.run_limit import Turn
from resolverd.resolution.actions import Abandoned, Action, Ask, Finished, Gained, Unanswered
from resolverd.resolution.attempts import NO_NAMESERVER, QuestionLine
from resolverd.resolution.hold_rules import hold_ms
from resolverd.resolution.leases import Lease, Leases
from resolverd.resolution.period import on_time, pause_ms, period_ms
from resolverd.resolution.run_outcomes import RunOutcomes, TypeOutcome
from resolverd.resolution.search import DENIED_WAIT_MS, Walk, candidates
from resolverd.resolution.transitions import Event, State

TCP_MARGIN_MS = 20  # the time-out of a question over TCP comes before that of its attempt
TRIGGER_PAUSE_MS = 1_000  # after the first trigger without a change; doubled by the next


class Trigger(enum.Enum):
    """The failed connect that triggers a run before it is due."""

    CONNECT_TIMEOUT = "timeout"
    CONNECT_REFUSED = "refused"


class Resolution:
    """The resolution of one name; `deadline_ms` is when `tick` is to be called next.

    `early_ms` returns by how much of `timeout resolve` the next run comes early: the only jitter,
    which spreads the runs of many names (M5). `silent` are the nameservers that attempts do not
    wait for (silence.py).
    """

    __slots__ = (
        *("_begun_ms", "_has_gained", "_lines", "_nameservers", "_outcomes", "_section"),
        *("_settings", "_trigger_pause_ms", "_trigger_waits", "_triggered", "_walk", "deadline_ms"),
        *("early_ms", "last_run_ms", "last_status", "leases", "merges", "silent", "types"),
    )

    def __init__(
        self,
        settings: ResolutionSettings,
        section: ResolversSection,
        families: tuple[Family, ...],
        now_ms: int,
        *,
        service: bool = False,
    ) -> None:
        """The first run is due at once; `service`: SRV records are asked for."""
        self.put_off(now_ms)
        self.last_run_ms = 0
        self.last_status: Status | None = None
        self.early_ms: Callable[[int], int] = on_time
        self.silent: Set[str] = NO_NAMESERVER
        of_hosts = query_types(settings.preferred, families)
        self.types = (QueryType.SRV,) if service else of_hosts  # the preferred first
        self.merges = settings.all_families and len(self.types) > 1
        lines = [(each,) for each in self.types] if self.merges else [self.types]
        self._lines = tuple(QuestionLine(types) for types in lines)
        self._settings = settings
        self._walk = Walk(settings.name)
        self._section = section
        self._nameservers = names_of(section.nameservers)
        self._outcomes = RunOutcomes()
        self._has_gained = False  # `Gained` was returned in this run
        self._begun_ms = now_ms  # beginning of the open or the last run
        self._trigger_waits = False  # a failed connect has triggered the next run
        self._triggered = False  # a failed connect triggered the open or the last run
        self._trigger_pause_ms = 0  # for so long after the last run triggers are ignored

    def __repr__(self) -> str:
        """Name, lines and deadline."""
        lines = ", ".join(map(repr, self._lines))
        return f"<Resolution {self._walk.name} {lines} deadline={self.deadline_ms}>"

    def put_off(self, now_ms: int) -> None:
        """The first run is due now, and the grace of a name without an answer begins."""
        self.deadline_ms = now_ms
        self.leases = Leases(now_ms)

    def restore(
        self,
        last_valid_ms: int,
        family_valid_ms: dict[Family, int],
        last_run_ms: int,
        last_status: Status | None,
    ) -> None:
        """Continue from a predecessor's record; its graces keep running."""
        leases = {family: self.lease(valid_ms) for family, valid_ms in family_valid_ms.items()}
        self.leases.restore(self.lease(last_valid_ms), leases)
        self.last_run_ms = last_run_ms
        self.last_status = last_status

    def lease(self, valid_ms: int) -> Lease:
        """The lease of a predecessor's answer; the next run ends it early."""
        ttl, period_ms = self._section.ttl_period, self._section.timeout_resolve_ms
        longest_ms = period_ms if ttl is None else ttl.max_ms
        lease = Lease(valid_ms, valid_ms + longest_ms)
        return lease.ended_early(self.deadline_ms, self._section.holds)

    @property
    def last_valid_ms(self) -> int:
        """The time of the last valid answer."""
        return self.leases.last_valid_ms

    @property
    def state(self) -> State:
        """The state of its lines: PAUSED if all open ones are."""
        if len(self._lines) == 1:
            return self._lines[0].state
        states = [line.state for line in self._lines if line.is_open]
        return next((each for each in states if each is not State.PAUSED), (*states, State.IDLE)[0])

    @property
    def questions(self) -> int:
        """How many questions a run may have at each nameserver at once."""
        return len(self._lines)

    @property
    def asked_name(self) -> str:
        """The name asked for now, or last: with a search list, one of its candidates."""
        return self._walk.name

    def follow(self, section: ResolversSection) -> None:
        """Use the nameservers from the next question on, the search list from the next run on."""
        self._section = section
        self._nameservers = names_of(section.nameservers)

    @property
    def turn(self) -> Turn:
        """The class of the next run: urgent are the first run and a triggered one."""
        if self._trigger_waits or self.last_status is None:
            return Turn.URGENT
        return Turn.VALID if self.last_status is Status.VALID else Turn.FAILING

    @property
    def trigger_waits(self) -> bool:
        """Whether a failed connect has triggered the next run."""
        return self._trigger_waits

    @property
    def triggers_held_until_ms(self) -> int:
        """Until then triggers are ignored, because the last ones brought no change; 0: never."""
        return self.last_run_ms + self._trigger_pause_ms if self._trigger_pause_ms else 0

    def tick(self, now_ms: int) -> list[Action]:
        """Start a run or end attempts, if their deadline has come."""
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
        """Apply the answer of a nameserver to an open attempt; ValueError if no run is open."""
        if self.state is State.IDLE:
            raise ValueError(f"reply of {nameserver} while {self!r}: no attempt is open")
        self._outcomes.note(query_type, nameserver, answer)
        self._walk.spoke(nameserver)
        line = self._line(query_type)
        line.heard(query_type, answer.status)
        if not line.is_open:
            return []  # this type has ended, the run waits for the other
        if answer.status is Status.VALID:
            return self._accept(line, query_type, now_ms)
        if query_type is not line.wanted:
            return []  # an error about a type that the present attempt does not ask for
        if line.refused(nameserver, answer.status) or self._is_over(line, now_ms):
            return self._all_failed(line, now_ms)
        self._set_deadline()
        return []

    def unsent(self, nameserver: str, query_type: QueryType) -> None:
        """The question did not reach this nameserver, which is not awaited."""
        self._line(query_type).unsent(nameserver, query_type)

    def fetching(self, query_type: QueryType, now_ms: int) -> None:
        """A truncated reply is asked for again over TCP, which may take `timeout retry`."""
        line = self._line(query_type)
        if line.is_open:
            line.fetching(now_ms + self._section.timeout_retry_ms + TCP_MARGIN_MS)
            self._set_deadline()

    def trigger(self, kind: Trigger, began_ms: int, now_ms: int) -> bool:
        """Make the next run due now; False during a run, or while the last answer is fresh.

        A refused connect is ignored within `hold valid` of a valid run. A connect that timed out
        counts if it began (`began_ms`) after that answer, for its address may be obsolete.
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
        """Set the pause of triggers by whether the ended run brought a change."""
        if news:
            self._trigger_pause_ms = 0
        elif self._triggered:
            doubled = max(TRIGGER_PAUSE_MS, 2 * self._trigger_pause_ms)
            self._trigger_pause_ms = min(doubled, self._section.holds.valid_ms)

    def _accept(self, line: QuestionLine, query_type: QueryType, now_ms: int) -> list[Action]:
        """End the line by a valid answer; one about `beside` waits for the end of the attempt."""
        return [] if query_type is line.beside else self._step(line, Event.VALID, now_ms)

    def _line(self, query_type: QueryType) -> QuestionLine:
        return next(line for line in self._lines if query_type in line.types)

    def _set_deadline(self) -> None:
        self.deadline_ms = min(line.deadline_ms for line in self._lines if line.is_open)

    def _is_over(self, line: QuestionLine, now_ms: int) -> bool:
        """Whether a denial ends an attempt along a search list now, if not soon (search.py)."""
        walk = self._walk
        fails = walk.ends and line.wanted is line.types[-1] and not self._outcomes.has_valid
        if fails or not (walk.searching and line.is_denied):
            return False
        line.hurry(now_ms + DENIED_WAIT_MS)
        return line.awaited <= walk.unheard

    def _all_failed(self, line: QuestionLine, now_ms: int) -> list[Action]:
        """End an attempt that all nameservers, as far as they are waited for, have failed."""
        both_asked = line.wanted is line.types[-1]
        if self._gives_up(line, last=both_asked and line.retries_left == 0):
            return self._go_on(now_ms)
        return self._step(line, line.all_failed, now_ms)

    def _expire(self, line: QuestionLine, now_ms: int) -> list[Action]:
        """End an attempt that has timed out."""
        silent = line.silent
        if line.is_denied:
            self._walk.missed(silent)
        if line.is_hurried:
            return self._all_failed(line, now_ms)
        actions: list[Action] = [Unanswered(silent)] if silent else []
        if self._gives_up(line, last=line.retries_left == 0):
            return actions + self._go_on(now_ms)
        event = Event.EXPIRED_LAST if self._is_denied(line) else line.expired
        return actions + self._step(line, event, now_ms)

    def _is_denied(self, line: QuestionLine) -> bool:
        """Whether a type need not be asked for again: it has no records, the other type has."""
        outcomes = self._outcomes
        return outcomes.has_valid and outcomes.of(line.wanted).status is Status.NODATA

    def _gives_up(self, line: QuestionLine, *, last: bool) -> bool:
        """Whether an ended attempt shows that this name of a search list does not exist."""
        if not self._walk.searching:
            return False
        errors = line.errors
        if line.beside is not None:
            self._walk.heard(line.beside, line.beside_errors)
            if not errors and line.beside_errors == {Status.NX}:
                errors = line.beside_errors  # NXDOMAIN is about the name, not the type
        self._walk.heard(line.wanted, errors)
        if self._outcomes.has_valid:
            return False
        last = last and not any(each.is_open for each in self._lines if each is not line)
        return self._walk.gone(self.types, last=last)

    def _go_on(self, now_ms: int) -> list[Action]:
        if self._walk.ends:
            for line in self._lines:
                if line.is_open:
                    line.step(Event.LAST_NAME_GONE)
            outcomes = self._outcomes.denied(self._walk.verdict)
            return self._fail(outcomes, self._walk.verdict, now_ms)
        self._walk.go_on()
        return [Abandoned(), *self._ask(now_ms)]

    def _begin(self, now_ms: int) -> None:
        search = self._section.search if self._settings.search else ()
        self._walk.begin(candidates(self._settings.name, search, self._section.ndots))
        self._triggered, self._trigger_waits = self._trigger_waits, False
        self._begun_ms = now_ms

    def _ask(self, now_ms: int) -> list[Action]:
        """Ask for the walk's name with all retries."""
        self._outcomes.clear()
        self._has_gained = False
        for line in self._lines:
            line.begin(self._section.resolve_retries)
        return [action for line in self._lines for action in self._send(line, now_ms)]

    def _send(self, line: QuestionLine, now_ms: int) -> list[Action]:
        for query_type in line.asked:
            self._outcomes.asked(query_type)
        line.sent(self._nameservers, now_ms + self._section.timeout_retry_ms, self.silent)
        self._set_deadline()
        return [Ask(Question(self._walk.name, query_type)) for query_type in line.asked]

    def _step(self, line: QuestionLine, event: Event, now_ms: int) -> list[Action]:
        if line.beside is not None and self._outcomes.has_valid:
            event = Event.VALID  # an answer about `beside` has waited for this attempt's end
        actions = self._send(line, now_ms) if line.step(event) else []
        for each in self._lines:
            if each.state is State.PAUSED and self._is_denied(each):
                each.step(Event.EXPIRED_LAST)
        if not any(each.is_open for each in self._lines):
            return self._finish(now_ms)
        self._set_deadline()
        return actions + self._gain(now_ms)

    def _gain(self, now_ms: int) -> list[Action]:
        """`Gained` for the answered type, once the other has to be asked for again."""
        if self._has_gained or not self._outcomes.has_valid:
            return []
        if any(line.is_open and not line.has_failed_once for line in self._lines):
            return []
        self._has_gained = True
        (outcome,) = [each for each in self._outcomes.outcomes() if each.status is Status.VALID]
        self.leases.answered([outcome.family], now_ms, 0)  # the end of the run sets the period
        return [Gained(outcome)]

    def _pause(self, longest_ms: int, now_ms: int) -> None:
        """Set the deadline of the next run."""
        self.deadline_ms = now_ms + pause_ms(self._section, longest_ms, self.early_ms)

    def _finish(self, now_ms: int) -> list[Action]:
        if not self.merges:
            self._outcomes.prefer(self.types[0])
        outcomes, answer = self._outcomes.outcomes(), self._outcomes.answer(merges=self.merges)
        if answer is None:
            return self._fail(outcomes, self._failure(outcomes), now_ms)
        longest_ms = period_ms(self._section, answer, outcomes)
        self._pause(longest_ms, now_ms)
        self.last_run_ms, self.last_status = now_ms, Status.VALID
        self._walk.found()
        valid = [each for each in outcomes if each.status is Status.VALID]
        self._end_leases(outcomes)
        self.leases.answered([each.family for each in valid], now_ms, longest_ms)
        return [Finished(Status.VALID, answer, valid[0].nameserver, outcomes)]

    def _end_leases(self, outcomes: tuple[TypeOutcome, ...]) -> None:
        """After a triggered run, end the leases of families without a valid answer."""
        if self._triggered:
            failed = [each.family for each in outcomes if each.status is not Status.VALID]
            self.leases.end_early(failed, self._begun_ms, self._section.holds)

    def _failure(self, outcomes: tuple[TypeOutcome, ...]) -> Status:
        """The status of a failed run: of two lines, that of the family answered last.

        Of equals the one with the longer hold. `last_valid_ms` is that family's as well.
        """
        if len(self._lines) == 1:
            return self._lines[0].failure
        holds, valid_ms = self._section.holds, self.leases.valid_ms
        return max(outcomes, key=lambda o: (valid_ms(o.family), hold_ms(holds, o.status))).status

    def _fail(self, outcomes: tuple[TypeOutcome, ...], status: Status, now_ms: int) -> list[Action]:
        self._pause(period_ms(self._section, None, outcomes), now_ms)
        self.last_run_ms, self.last_status = now_ms, status
        self._end_leases(outcomes)
        held = Answer(status, tuple(a for each in outcomes for a in each.addresses), partial=True)
        sources = [each.nameserver for each in outcomes if each.addresses]
        return [Finished(status, held, sources[-1] if sources else "", outcomes)]
