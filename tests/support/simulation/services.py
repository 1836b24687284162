"""What the end of a run must make of the servers of a label, told by a naive memory.

A server keeps its record while that is seen or not obsolete; a record has a server while one is
free, its former one if that is; weight, priority and additional addresses are the answer's.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from resolverd.config import ResolutionSettings, ResolvedServer
from resolverd.dns.answer import Answer, ServiceRecord, Status
from shm.states import SlotFlag
from tests.support.simulation.returns import NEVER_MS, Returns
from tests.support.simulation.rules import kept_ms

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World

Key = tuple[str, int]  # target, port


class ServiceRecords:
    """The label of the configuration."""

    def __init__(self, world: World, settings: ResolutionSettings) -> None:
        self._world = world
        self._settings = settings
        self._returns = Returns(world, settings.index)
        self._low_ms: dict[Key, int] = {}  # a record was seen then, at least
        self._high_ms: dict[Key, int] = {}  # and at most
        self._valid_ms = world.created_ms  # the last valid answer was not after this
        self._attached: dict[int, Key | None] = {}
        self._former: dict[tuple[int, Key], int] = {}  # backend and record -> its last slot

    def hears(self, answer: Answer) -> None:
        """It may live through this, or half."""
        if answer.status is Status.VALID:
            self._valid_ms = self._world.now_ms
            for service in answer.services:
                self._high_ms[service.target, service.port] = self._world.now_ms

    def killed(self) -> None:
        """One answer ends a run: there is none that waits."""

    def restarted(self) -> None:
        """What servers stand for counts as seen when the label was last answered."""
        self._returns.restarted()
        self._former.clear()
        self._attached = self._look()
        for key in self._attached.values():
            if key is not None:
                self._high_ms[key] = max(self._valid_ms, self._high_ms.get(key, NEVER_MS))

    def _look(self) -> dict[int, Key | None]:
        found: dict[int, Key | None] = {}
        for server in self._settings.servers:
            target = self._world.board.target(server.slot).name
            port = self._world.board.slot(server.slot).port
            found[server.slot] = (target, port) if target and port else None
        return found

    def ended(self) -> None:
        """A run has ended and the slots are written."""
        heard = self._world.asked.heard[self._settings.index]
        before, self._attached = self._attached, self._look()
        if heard and heard[-1][1].status is Status.VALID:
            self._valid(before, heard[-1][1])
        else:
            self._failed([answer.status for _, answer in heard])
        for server in self._settings.servers:
            key = before[server.slot]
            if key is not None and self._attached[server.slot] != key:
                self._former[server.backend_index, key] = server.slot

    def _failed(self, statuses: list[Status]) -> None:
        """No server outlives the longest of the holds that may apply."""
        section = self._world.section
        longest_ms = max(kept_ms(section, status)[1] for status in (*statuses, Status.TIMEOUT))
        if self._valid_ms + longest_ms <= self._world.now_ms:
            assert not any(self._attached.values()), "a record has outlived its hold"
            for server in self._settings.servers:
                assert self._world.board.slot(server.slot).address is None

    def _valid(self, before: dict[int, Key | None], answer: Answer) -> None:
        seen = {(service.target, service.port): service for service in answer.services}
        light = not any(service.weight for service in answer.services)
        for server in self._settings.servers:
            self._follows(server, before[server.slot], seen, cut=answer.partial)
            key = self._attached[server.slot]
            if key in seen:
                self._is_told(server, before[server.slot], seen[key], light=light)
        for backend in {server.backend_index for server in self._settings.servers}:
            servers = [s for s in self._settings.servers if s.backend_index == backend]
            self._fills(servers, before, seen)
            if servers[0].srv_priority:
                self._has_backups(servers, seen)
        had: set[Hashable] = {key for key in before.values() if key is not None}
        have: set[Hashable] = {key for key in self._attached.values() if key is not None}
        self._returns.ended(had, have, set(seen))
        self._low_ms.update(dict.fromkeys(seen, self._world.now_ms))

    def _follows(
        self,
        server: ResolvedServer,
        before: Key | None,
        seen: dict[Key, ServiceRecord],
        *,
        cut: bool,
    ) -> None:
        """A server keeps what is seen or not obsolete, and nothing else; a cut answer keeps more."""
        if before is None:
            return
        holds, now_ms = self._world.section.holds, self._world.now_ms
        after = self._attached[server.slot]
        least_ms, most_ms = kept_ms(self._world.section, Status.TRUNCATED) if cut else (0, 0)
        least_ms, most_ms = max(holds.obsolete_ms, least_ms), max(holds.obsolete_ms, most_ms)
        if before in seen or self._low_ms.get(before, NEVER_MS) + least_ms >= now_ms:
            assert after == before, f"{after} instead of {before}, which is known"
        elif self._high_ms.get(before, NEVER_MS) + most_ms < now_ms:
            assert after != before, f"{before} is obsolete"

    def _is_told(
        self, server: ResolvedServer, before: Key | None, service: ServiceRecord, *, light: bool
    ) -> None:
        """Weight and address follow the answer."""
        slot = self._world.board.slot(server.slot)
        weight = (service.weight + 255) // 256
        if light or server.rfc_weight:
            weight = max(1, weight)
        expected = -1 if server.ignore_weight else weight
        assert slot.weight == expected, f"weight {slot.weight}, not {expected}"
        families = self._world.settings.families
        told = [a.text for a in service.addresses if a.family in families]
        if told:
            assert slot.address in told, "an additional address is not used"
            was = self._world.judge.changed.get(server.slot, slot).address
            if before == (service.target, service.port) and was in told:
                assert slot.address == was, "moved from one of its addresses to another"
            elif slot.address != was:
                wanted = server.preferred or self._settings.preferred
                better = [a for a in service.addresses if a.family == wanted]
                if better and wanted in families:
                    assert slot.address in [a.text for a in better], "not the preferred family"

    def _fills(
        self,
        servers: list[ResolvedServer],
        before: dict[int, Key | None],
        seen: dict[Key, ServiceRecord],
    ) -> None:
        """No server is free beside a record; one that comes back gets the former, if that was free."""
        attached = {key: s for s in servers if (key := self._attached[s.slot]) is not None}
        surplus = [key for key in seen if key not in attached]
        assert len(attached) == len(servers) or not surplus, f"{surplus} beside a free server"
        backend, had = servers[0].backend_index, {before[server.slot] for server in servers}
        for key, server in attached.items():
            if key in had:
                continue
            former = self._former.get((backend, key))
            if former is not None:
                if self._may_be_former(former, backend, key) and before[former] is None:
                    assert server.slot == former, f"{key} has not got its former server"
            elif server.srv_priority and key in seen:
                best = min((seen[each].priority for each in surplus), default=FAR)
                assert seen[key].priority <= best, f"{key} goes before a better one"

    def _may_be_former(self, slot: int, backend: int, key: Key) -> bool:
        """Whether no other record has left that server since."""
        last = [each for (of, each), at in self._former.items() if of == backend and at == slot]
        return last == [key]

    def _has_backups(self, servers: list[ResolvedServer], seen: dict[Key, ServiceRecord]) -> None:
        keys = {s.slot: key for s in servers if (key := self._attached[s.slot]) is not None}
        if not all(key in seen for key in keys.values()):
            return  # the priority of one that is missing is unknown after a restart
        first = min((seen[key].priority for key in keys.values()), default=0)
        for slot, key in keys.items():
            backup = bool(self._world.board.slot(slot).flags & SlotFlag.BACKUP)
            assert backup == (seen[key].priority > first), f"{key}: backup is {backup}"


FAR = 1 << 20
