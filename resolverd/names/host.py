"""One host name from question to slots: its state machine, its servers and their records together.

Owns nothing but the two pure halves (resolution/resolution.py, assignment/hosts.py) and tells the
servers what comes out. The name is one of the configuration, the target of an SRV record, or one
that an operator ordered; the last two have servers that come and go. Opens no socket and reads no
clock.

The record is written before the slots: a successor that finds both may then think a record
younger than it is, never older, so no hold is shortened by a kill in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from resolverd.assignment.departures import Departures
from resolverd.assignment.hosts import Assignment, Change
from resolverd.board import Board
from resolverd.config import (
    Family,
    ResolutionSettings,
    ResolvedServer,
    ResolversSection,
    names_of,
)
from resolverd.dns.answer import Address, Status
from resolverd.log.lines import FROM_CACHE, Log, describe_search
from resolverd.names.slot_publisher import FROM_ANSWERS, ServedServers
from resolverd.records.history import History
from resolverd.records.resolution_record import Tally
from resolverd.resolution.actions import Finished, Gained
from resolverd.resolution.hold_rules import Ruling, hold_ms, own_graces, rule, rule_merged
from resolverd.resolution.resolution import Resolution
from resolverd.resolution.run_outcomes import Outcome


class ResolvedName:
    """A host name with the servers that it feeds; `finish` turns the end of a run into slots."""

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
        """Nothing is known yet; call `carry_on` or `join` before the first event."""
        self.settings = settings
        self.section = section
        self.resolution = Resolution(settings, section, families, now_ms)
        self.assignment = Assignment((), settings.preferred, section.holds, {})
        self.tally = Tally(
            board,
            log,
            served.quiet,
            settings.name,
            section.name,
            index=settings.index if has_record else None,
        )
        self.permanent = has_record  # it is resolved though no server needs it
        self.history = History()
        self.changed = False  # whether the last run has changed a server
        self.outcomes: tuple[Outcome, ...] = ()  # of the last run, the preferred type first
        self._departures: Departures[Address] = Departures()
        self._rows = {nameserver.name: nameserver.index for nameserver in section.nameservers}
        self._has_gained = False  # the run that goes on has changed something
        self._found = ""  # with a search list: what the last valid answer was for
        self._served = served
        self._log = log
        self._board = board
        self._restored = False  # whether `last_valid_ms` is from the board

    def follow(self, section: ResolversSection) -> None:
        """The section has other nameservers; former ones may still answer what they were asked."""
        self.history.follow(names_of(self.section.nameservers), names_of(section.nameservers))
        self.section = section
        self._rows |= {nameserver.name: nameserver.index for nameserver in section.nameservers}
        self.resolution.follow(section)

    def carry_on(self) -> None:
        """Take over what the segment says of the resolution."""
        self.tally.carry_on(self.resolution)

    def join(self, server: ResolvedServer, now_ms: int, since_ms: int = 0) -> None:
        """Feed a server from now on; since `since_ms` it has had its address from this name.

        0 says that the address is not from here; it stays until the first answer all the same.
        """
        slot = server.slot
        self.assignment.join(server, self._served[slot].address, since_ms or now_ms)
        if since_ms and (address := self._served[slot].address) is not None:
            self._adopt(address, since_ms)

    def _adopt(self, address: Address, since_ms: int) -> None:
        """A predecessor's server had it at `since_ms`, when some answer of the name was valid.

        A name of the configuration has a record, which knows better when the family was answered.
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
        """Feed a server of the configuration, which may have an answer's address already."""
        slot = self._served[server.slot]
        self.assignment.join(server, slot.address, 0)
        if slot.address is not None and slot.cause in FROM_ANSWERS:
            since_ms = self.resolution.leases.valid_ms(slot.address.family)
            self.assignment.adopt({slot.address: since_ms})

    def leave(self, slot: int) -> None:
        """Feed a server no longer."""
        self.assignment.leave(slot)

    @property
    def needed(self) -> bool:
        """Whether the name is to be resolved any longer."""
        return self.permanent or bool(self.assignment.slots)

    def settle(self, now_ms: int) -> None:
        """Give those who have joined what is known already."""
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
        self.tally.ended(
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
            self._tell_returns(former, now_ms)
        self._tell_found(valid=valid)
        self._move(changes, finished.nameserver, finished.outcomes, now_ms)

    def gained(self, gained: Gained, now_ms: int) -> None:
        """One of two merged families is answered, the run goes on for the other."""
        outcome, former = gained.outcome, dict(self.assignment.records)
        changes = self.assignment.heard(self._rule((outcome,), now_ms), now_ms)
        self._has_gained = bool(changes) or not former.keys() >= self.assignment.records.keys()
        self.tally.gained(self.resolution)
        self._tell_returns(former, now_ms)
        self._move(changes, outcome.nameserver, (outcome,), now_ms)

    def _assign(self, finished: Finished, now_ms: int) -> list[Change]:
        assignment, resolution = self.assignment, self.resolution
        if finished.addresses:
            return assignment.heard(self._rule(finished.outcomes, now_ms), now_ms)
        holds = self.section.holds
        if resolution.merges:
            graces = own_graces(finished.outcomes, self._since_ms(finished.outcomes), holds)
            return assignment.families_failed(graces, now_ms)
        since_ms = resolution.leases.since_ms(hold_ms(holds, finished.status))
        return assignment.failed(finished.status, since_ms, now_ms)

    def _rule(self, outcomes: tuple[Outcome, ...], now_ms: int) -> Ruling:
        holds, since_ms = self.section.holds, self._since_ms(outcomes)
        cut_ms = self.resolution.leases.cut_ms(holds)
        if self.resolution.merges:
            return rule_merged(outcomes, holds, since_ms, now_ms, cut_ms=cut_ms)
        return rule(outcomes, self.assignment.records, holds, since_ms, now_ms, cut_ms=cut_ms)

    def _since_ms(self, outcomes: tuple[Outcome, ...]) -> dict[Family, int]:
        """Since when the hold of each outcome counts."""
        leases, holds = self.resolution.leases, self.section.holds
        return {
            each.family: leases.family_since_ms(each.family, hold_ms(holds, each.status))
            for each in outcomes
        }

    def _tell_returns(self, former: Mapping[Address, int], now_ms: int) -> None:
        """Say it when records that have left are back; `former` are those before this answer."""
        back = self._departures.compare(former, self.assignment.records, now_ms)
        self.tally.returned([(each.text, unseen_ms) for each, unseen_ms in back], self.section)

    def _tell_found(self, *, valid: bool) -> None:
        """Say which name of the search list it is, whenever that is another one."""
        found = self.resolution.asked_name
        if valid and self.settings.search and found != self._found:
            self._found = found
            for level, text in describe_search(self.settings.name, found, self.section.name):
                self._log(level, text)

    def _move(
        self, changes: list[Change], nameserver: str, outcomes: tuple[Outcome, ...], now_ms: int
    ) -> None:
        """Publish the changes, and count them for the nameserver that gave each address."""
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

    def _publish(self, changes: list[Change], source: str, now_ms: int) -> None:
        for change in changes:
            self._served.point(change.server.slot, change.after, change.cause, source, now_ms)
            if change.after is not None:
                source = FROM_CACHE  # said of all but the first (S47)
