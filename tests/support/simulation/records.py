"""What the end of a run must make of the slots, told by a naive memory of what was accepted.

For each name of the configuration it is known when each record was last seen, at least and at
most: they differ after resolverd was killed, whose successor may think a record younger than it is,
never older. A host's servers keep what is seen, protected or not yet obsolete, lose the rest, and
take the best of what is free; the servers of a label are told of in services.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from resolverd.config import Family, ResolutionSettings, ResolvedServer
from resolverd.dns.answer import Address, Answer, QueryType, Status
from tests.support.simulation.returns import Returns
from tests.support.simulation.rules import kept_ms
from tests.support.simulation.services import ServiceRecords

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World

NEVER_MS = -(1 << 60)
STATEMENTS = (Status.VALID, Status.NODATA)
FAMILY_OF = {QueryType.A: Family.IPV4, QueryType.AAAA: Family.IPV6}


class HostRecords:
    """One host name of the configuration."""

    def __init__(self, world: World, settings: ResolutionSettings) -> None:
        self._world = world
        self._settings = settings
        self._returns = Returns(world, settings.index)
        self._low_ms: dict[str, int] = {}  # an address was seen then, at least
        self._high_ms: dict[str, int] = {}  # and at most
        self._valid_ms = world.created_ms  # the name's last valid answer was not after this
        self._family_ms = dict.fromkeys((Family.IPV4, Family.IPV6), world.created_ms)
        self._ended_ms = 0

    def hears(self, answer: Answer) -> None:
        """It may live through this, or half."""
        now_ms = self._world.now_ms
        for address in answer.addresses:
            self._high_ms[address.text] = now_ms
        if answer.status is Status.VALID:
            self._valid_ms = now_ms
            self._family_ms[answer.addresses[0].family] = now_ms

    def killed(self) -> None:
        """A run that goes on is lost, or was ending: its answers may have counted as of now."""
        for answer in self._world.valid_answers(self._settings.index):
            self.hears(answer)

    def restarted(self) -> None:
        """What servers have counts as seen when their family was last answered."""
        self._returns.restarted()
        for server in self._settings.servers:
            text = self._world.board.slot(server.slot).address
            if text is not None:
                seen_ms = self._family_ms[Address.parse(text).family]
                self._high_ms[text] = max(seen_ms, self._high_ms.get(text, NEVER_MS))

    def ended(self) -> None:
        """A run has ended and the slots are written."""
        heard = self._world.asked.heard[self._settings.index]
        for _, answer in heard:
            for address in answer.addresses:
                self._high_ms[address.text] = self._world.now_ms
        answers = self._world.valid_answers(self._settings.index)
        if answers:
            self._valid([address for answer in answers for address in answer.addresses])
        elif not any(answer.addresses for _, answer in heard):
            self._failed([answer.status for _, answer in heard])
        else:
            self._returns.look()
        self._ended_ms = self._world.now_ms

    def _failed(self, statuses: Iterable[Status]) -> None:
        """No address outlives the longest of the holds that may apply."""
        section, now_ms = self._world.section, self._world.now_ms
        kept = [kept_ms(section, status) for status in (*statuses, Status.TIMEOUT)]
        longest_ms = max(most_ms for _, most_ms in kept)
        if self._settings.search:
            longest_ms = max(longest_ms, kept_ms(section, Status.OTHER)[1])
        for server in self._own():
            since_ms = max(self._valid_ms, self._world.judge.ordered_ms.get(server.slot, 0))
            if since_ms + longest_ms <= now_ms:
                assert self._after(server) is None, "an address has outlived its hold"
        shortest_ms = min(least_ms for least_ms, _ in kept)
        if self._valid_ms + shortest_ms <= now_ms:
            self._low_ms.clear()  # records go then (S37); only a newcomer may keep its address

    def _valid(self, answer: list[Address]) -> None:
        world, now_ms = self._world, self._world.now_ms
        seen = {address.text for address in answer}
        self._valid_ms = now_ms  # where families are merged, later than it was heard
        self._family_ms.update({address.family: now_ms for address in answer})
        own = self._own()
        settled = [
            server
            for server in own
            if world.judge.ordered_ms.get(server.slot, NEVER_MS) < self._ended_ms
        ]
        for server in settled:
            self._follows(server, seen)
        first = world.outcome(self._settings.index, world.asked.asked[self._settings.index][0])
        cut = self._was_cut(FAMILY_OF[world.asked.asked[self._settings.index][0]])
        if first is Status.VALID or (first is Status.NODATA and not cut):
            for backend in {server.backend_index for server in own}:
                self._fills([s for s in own if s.backend_index == backend], answer)
        before: set[Hashable] = {text for s in own if (text := self._before(s)) is not None}
        after: set[Hashable] = {text for s in own if (text := self._after(s)) is not None}
        if len(settled) == len(own):
            heard = self._world.asked.heard[self._settings.index]
            told: set[Hashable] = {each.text for _, said in heard for each in said.addresses}
            self._returns.ended(before, after, told)
        else:
            self._returns.restarted()
        self._low_ms.update(dict.fromkeys(seen, now_ms))

    def _follows(self, server: ResolvedServer, seen: set[str]) -> None:
        """A server keeps what is seen or not obsolete, and nothing else."""
        before, after, now_ms = self._before(server), self._after(server), self._world.now_ms
        if before is None or self._world.judge.has_twin(server.slot, before):
            return
        low_ms = self._low_ms.get(before, NEVER_MS)
        high_ms = self._high_ms.get(before, NEVER_MS)
        obsolete_ms = self._world.section.holds.obsolete_ms
        if before in seen or low_ms + obsolete_ms >= now_ms:
            assert after == before, f"{after} instead of {before}, which is known"
        elif self._is_protected(Address.parse(before).family):
            if low_ms != NEVER_MS:
                assert after == before, f"{after} instead of {before}, whose family is protected"
        elif high_ms + obsolete_ms < now_ms and not self._may_be_protected(before):
            assert after != before, f"{before} is obsolete"

    def _is_protected(self, family: Family) -> bool:
        """Whether a failure of the family is overlooked, for sure."""
        judge, status = self._world.judge, self._status(family)
        place = self._world.place(self._settings.index)
        valid_ms = judge.family_valid_ms.get((place, family), NEVER_MS)
        least_ms, _ = kept_ms(self._world.section, status)
        return (
            status not in STATEMENTS
            and not self._was_cut(family)
            and valid_ms + least_ms > self._world.now_ms
        )

    def _may_be_protected(self, address: str) -> bool:
        family = Address.parse(address).family
        if self._was_cut(family):
            return True
        status = self._status(family)
        _, most_ms = kept_ms(self._world.section, status)
        over = self._family_ms[family] + most_ms <= self._world.now_ms
        return status not in STATEMENTS and not over

    def _status(self, family: Family) -> Status:
        """How the family came out; that of no account where the preferred one has records."""
        index = self._settings.index
        kinds = self._world.asked.asked[index]
        merges = self._world.core.names.peek(index).resolution.merges
        if self._world.outcome(index, kinds[0]) is Status.VALID and not merges:
            return Status.VALID
        for kind in kinds:
            if FAMILY_OF[kind] is family:
                return self._world.outcome(index, kind)
        return Status.VALID

    def _was_cut(self, family: Family) -> bool:
        return any(
            FAMILY_OF[kind] is family and answer.partial
            for kind, answer in self._world.asked.heard[self._settings.index]
        )

    def _fills(self, servers: list[ResolvedServer], answer: list[Address]) -> None:
        """No server is empty beside a record; a server takes the best."""
        held = {self._after(server) for server in servers}
        free = [address for address in answer if address.text not in held]
        assert None not in held or not free, f"{free} are free and a server has none"
        for server in servers:
            taken = self._after(server)
            if taken is None or taken == self._before(server):
                continue
            wanted = answer if server.allow_dup_ip else free
            best = max((self._score(server, each) for each in wanted), default=0)
            score = self._score(server, Address.parse(taken))
            assert score >= best, f"{taken} was taken before a better one"

    def _score(self, server: ResolvedServer, address: Address) -> int:
        near = any(
            address.packed in _packed(network)
            for network in server.networks
            if (":" in network) == (address.family is Family.IPV6)
        )
        return 2 * (address.family == self._settings.preferred) + near

    def _own(self) -> list[ResolvedServer]:
        orders, names = self._world.orders, ("", self._settings.name)
        return [s for s in self._settings.servers if orders.get(s.slot, "") in names]

    def _before(self, server: ResolvedServer) -> str | None:
        slot = self._world.judge.changed.get(server.slot) or self._world.board.slot(server.slot)
        return slot.address

    def _after(self, server: ResolvedServer) -> str | None:
        return self._world.board.slot(server.slot).address


_PACKED: dict[str, frozenset[bytes]] = {}


def _packed(network: str) -> frozenset[bytes]:
    """All addresses of a small network."""
    if network not in _PACKED:
        parsed = ipaddress.ip_network(network, strict=False)
        _PACKED[network] = frozenset(address.packed for address in parsed)
    return _PACKED[network]


class Records:
    """All names of the configuration."""

    def __init__(self, world: World) -> None:
        self._names: list[HostRecords | ServiceRecords] = [
            ServiceRecords(world, each) if each.is_service else HostRecords(world, each)
            for each in world.settings.resolutions
        ]

    def hears(self, key: int, answer: Answer) -> None:
        """An answer is handed to the core."""
        if key < len(self._names):
            self._names[key].hears(answer)

    def killed(self, key: int) -> None:
        """Resolverd dies in a run of this name."""
        if key < len(self._names):
            self._names[key].killed()

    def restarted(self) -> None:
        """Resolverd is another one."""
        for each in self._names:
            each.restarted()

    def ended(self, key: int) -> None:
        """A run has ended."""
        if key < len(self._names):
            self._names[key].ended()
