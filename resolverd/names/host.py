"""One host name from question to slots: joins its state machine with its servers' records.

Owns the two pure halves (resolution/resolution.py, assignment/hosts.py) and publishes their
changes. The name is one of the configuration, the target of an SRV record, or one that an operator
ordered; the servers of the last two join and leave. Opens no socket and reads no clock.

The resolution record is written before the slots: after a kill in between, a successor takes a DNS
record for younger than it is, never for older, so no hold is shortened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from resolverd.assignment.departures import Departures
from resolverd.assignment.hosts import AddressChange, Assignment
from resolverd.board import Board
from resolverd.config import (
    Family,
    ResolutionSettings,
    ResolvedServer,
    ResolversSection,
    names_of,
    rows_of,
)
from resolverd.dns.answer import Address, Question, Status
from resolverd.log.lines import FROM_CACHE, describe_search
from resolverd.names.slot_publisher import FROM_ANSWERS, ServedServers
from resolverd.records.history import History
from resolverd.records.resolution_record import ResolutionCounts
from resolverd.resolution.actions import Ask, Finished, Gained
from resolverd.resolution.hold_rules import Ruling, hold_ms, own_graces, rule, rule_merged
from resolverd.resolution.repetition import Repeated
from resolverd.resolution.resolution import Resolution
from resolverd.resolution.run_outcomes import TypeOutcome
from shm.log_level import Log


class ResolvedName:
    """A host name with the servers that it feeds; `finish` applies a run to their slots."""

    __slots__ = (
        *("_board", "_departures", "_found", "_has_gained", "_log", "_restored", "_rows"),
        *("_served", "assignment", "changed", "counts", "history", "outcomes", "permanent"),
        *("resolution", "section", "settings"),
    )

    def __init__(
        self,
        settings: ResolutionSettings,
        section: ResolversSection,
        families: tuple[Family, ...],
        served: ServedServers,
        board: Board,
        *,
        log: Log,
        now_ms: int,
        has_record: bool,
    ) -> None:
        """Call `carry_on` or `join` before the first event."""
        self.settings = settings
        self.section = section
        self.resolution = Resolution(settings, section, families, now_ms)
        self.assignment = Assignment((), settings.preferred, section.holds, {})
        self.counts = ResolutionCounts(
            board,
            log,
            served.throttle,
            settings.name,
            section.name,
            index=settings.index if has_record else None,
        )
        self.permanent = has_record  # resolved also without a server
        self.history = History()
        self.changed = False  # whether the last run has changed a server
        self.outcomes: tuple[TypeOutcome, ...] = ()  # of the last run, the preferred type first
        self._departures: Departures[Address] = Departures()
        self._rows = rows_of(section.nameservers)
        self._has_gained = False  # the open run has changed servers or records
        self._found = ""  # with a search list: the name of the last valid answer
        self._served = served
        self._log = log
        self._board = board
        self._restored = False  # whether `last_valid_ms` is from the board

    def follow(self, section: ResolversSection) -> None:
        """The section has other nameservers; replies of former ones to open attempts count."""
        self.history.follow(names_of(self.section.nameservers), names_of(section.nameservers))
        self.section = section
        self._rows = {**self._rows, **rows_of(section.nameservers)}
        self.resolution.follow(section)

    def carry_on(self) -> None:
        """Restore the resolution from its record in the segment."""
        self.counts.carry_on(self.resolution)

    def join(self, server: ResolvedServer, now_ms: int, since_ms: int = 0) -> None:
        """Add a server, which has its address from this name since `since_ms`.

        0: the address is not from this name; it still stays until the first answer.
        """
        slot = server.slot
        self.assignment.join(server, self._served[slot].address, since_ms or now_ms)
        if since_ms and (address := self._served[slot].address) is not None:
            self._adopt(address, since_ms)

    def _adopt(self, address: Address, since_ms: int) -> None:
        """Add the record that a predecessor's server had at `since_ms`, a time of a valid answer.

        A name of the configuration has a resolution record, which has the time of each family.
        """
        leases, family = self.resolution.leases, address.family
        if self.permanent:
            self.assignment.adopt({address: min(since_ms, leases.valid_ms(family))})
            return
        self.assignment.adopt({address: since_ms})
        any_ms, family_ms = leases.last_valid_ms, leases.valid_ms(family)
        if not self._restored:
            any_ms = family_ms = 0
        lease = self.resolution.lease  # graces keep running
        leases.restore(lease(max(any_ms, since_ms)), {family: lease(max(family_ms, since_ms))})
        self._restored = True

    def take(self, server: ResolvedServer) -> None:
        """Add a server of the configuration, which may have the address of an answer already."""
        slot = self._served[server.slot]
        self.assignment.join(server, slot.address, 0)
        if slot.address is not None and slot.cause in FROM_ANSWERS:
            since_ms = self.resolution.leases.valid_ms(slot.address.family)
            self.assignment.adopt({slot.address: since_ms})

    def leave(self, slot: int) -> None:
        """Remove a server."""
        self.assignment.leave(slot)

    def abandon(self) -> None:
        """No line has the name any more: it goes with its last server, its record at once."""
        self.permanent = False
        self.counts.abandon()

    @property
    def needed(self) -> bool:
        """Whether the name is still to be resolved."""
        return self.permanent or bool(self.assignment.slots)

    def settle(self, now_ms: int) -> None:
        """Assign the known records to the servers that have joined."""
        self._publish(self.assignment.settle(), FROM_CACHE, now_ms)

    def finish(self, finished: Finished, now_ms: int) -> None:
        """A run has ended: record it, publish what changed."""
        assignment, valid = self.assignment, finished.status is Status.VALID
        self.outcomes = finished.outcomes
        former = dict(assignment.records)
        changes = self._assign(finished, now_ms)
        self.changed = bool(changes)
        news = self.changed or not former.keys() >= assignment.records.keys()
        self.changed |= self._has_gained
        self.resolution.learned(news or self._has_gained)
        self._has_gained = False
        self.counts.ended(
            self.resolution,
            len(finished.addresses) if valid else None,
            len(assignment.records),
            assignment.used,
            assignment.missing,
        )
        if valid:
            for slot in assignment.slots:
                self._served.confirm(slot, now_ms)
        if valid or finished.addresses:
            self._count_returns(former, now_ms)
        self._log_found(valid=valid)
        self._move(changes, finished.nameserver, finished.outcomes, now_ms)

    def repeatable(self, finished: Finished) -> bool:
        """Whether a run like the ended one would change nothing, and asks a single question."""
        resolution = self.resolution
        return (
            finished.status is Status.VALID
            and self.permanent
            and self.assignment.repeated
            and not self.changed
            and not resolution.merges
            and not self.settings.search
            and [each.query_type for each in finished.outcomes] == [resolution.types[0]]
            and not finished.answer.partial
            and not finished.answer.unusable
            and not resolution.trigger_waits
            and not resolution.triggers_held_until_ms
            and not any(self._served[slot].target for slot in self.assignment.slots)
        )

    def repeated(self, past: Repeated) -> None:
        """Show the state machine the last of the runs that were repeated: they changed nothing."""
        if past.runs:
            resolution, query_type = self.resolution, past.question.query_type
            answer = msgspec.structs.replace(past.answer, ttl_s=past.ttl_s)
            self.counts.passed(past.runs - 1)
            self._ask_again(past.question, past.begun_ms, ())
            for nameserver, when_ms in past.heard:
                self.history.answered(nameserver, query_type, answer, when_ms)
            actions = resolution.reply(past.nameserver, query_type, answer, past.ended_ms)
            (finished,) = [each for each in actions if isinstance(each, Finished)]
            self.finish(finished, past.ended_ms)
            resolution.deadline_ms = past.due_ms
        if past.asked_ms is not None:
            self._ask_again(past.question, past.asked_ms, past.unsent)

    def _ask_again(self, question: Question, now_ms: int, unsent: Sequence[str]) -> None:
        """Begin a run whose question the transport has sent."""
        resolution = self.resolution
        resolution.deadline_ms = now_ms
        self.history.begun_ms = now_ms
        actions = resolution.tick(now_ms)
        assert [Ask(question)] == actions, f"{actions} instead of {question}"
        self.history.asked((question.query_type,), now_ms, list(unsent))
        for nameserver in unsent:
            resolution.unsent(nameserver, question.query_type)

    def gained(self, gained: Gained, now_ms: int) -> None:
        """Apply the answer of one of two merged families; the run goes on for the other."""
        outcome, former = gained.outcome, dict(self.assignment.records)
        changes = self.assignment.heard(self._rule((outcome,), now_ms), now_ms)
        self._has_gained = bool(changes) or not former.keys() >= self.assignment.records.keys()
        self.counts.gained(self.resolution)
        self._count_returns(former, now_ms)
        self._move(changes, outcome.nameserver, (outcome,), now_ms)

    def _assign(self, finished: Finished, now_ms: int) -> list[AddressChange]:
        assignment, resolution = self.assignment, self.resolution
        if finished.addresses:
            return assignment.heard(self._rule(finished.outcomes, now_ms), now_ms)
        holds = self.section.holds
        if resolution.merges:
            graces = own_graces(finished.outcomes, self._since_ms(finished.outcomes), holds)
            return assignment.families_failed(graces, now_ms)
        since_ms = resolution.leases.since_ms(hold_ms(holds, finished.status))
        return assignment.failed(finished.status, since_ms, now_ms)

    def _rule(self, outcomes: tuple[TypeOutcome, ...], now_ms: int) -> Ruling:
        holds, since_ms = self.section.holds, self._since_ms(outcomes)
        cut_ms = self.resolution.leases.cut_ms(holds)
        if self.resolution.merges:
            return rule_merged(outcomes, holds, since_ms, now_ms, cut_ms=cut_ms)
        return rule(outcomes, self.assignment.records, holds, since_ms, now_ms, cut_ms=cut_ms)

    def _since_ms(self, outcomes: tuple[TypeOutcome, ...]) -> dict[Family, int]:
        """The beginning of the hold of each outcome."""
        leases, holds = self.resolution.leases, self.section.holds
        return {
            each.family: leases.family_since_ms(each.family, hold_ms(holds, each.status))
            for each in outcomes
        }

    def _count_returns(self, former: Mapping[Address, int], now_ms: int) -> None:
        """Count records that have come back; `former` are those known before this answer."""
        back = self._departures.compare(former, self.assignment.records, now_ms)
        self.counts.returned([(each.text, unseen_ms) for each, unseen_ms in back], self.section)

    def _log_found(self, *, valid: bool) -> None:
        """Log the name of the search list that was answered, when it is another one."""
        found = self.resolution.asked_name
        if valid and self.settings.search and found != self._found:
            self._found = found
            for level, text in describe_search(self.settings.name, found, self.section.name):
                self._log(level, text)

    def _move(
        self,
        changes: list[AddressChange],
        nameserver: str,
        outcomes: tuple[TypeOutcome, ...],
        now_ms: int,
    ) -> None:
        """Publish the changes, and count each as an update of the nameserver that sent it."""
        givers = {each.family: each.nameserver for each in outcomes if each.addresses}
        moved: Counter[str] = Counter()
        for change in changes:
            if change.after is not None:
                moved[givers.get(change.after.family, nameserver)] += 1
        for giver, amount in moved.items():
            if giver:
                self._board.count(self._rows[giver], "update", amount)
        first = next(iter(moved), nameserver)
        self._publish(changes, f"{self.section.name}/{first}", now_ms)

    def _publish(self, changes: list[AddressChange], source: str, now_ms: int) -> None:
        for change in changes:
            self._served.point(change.server.slot, change.after, change.cause, source, now_ms)
            if change.after is not None:
                source = FROM_CACHE  # in the lines of all but the first (S47)
