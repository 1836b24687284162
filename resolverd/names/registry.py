"""The names that are resolved at the moment: those of the configuration, SRV targets and orders.

Owns which name feeds which server: a server has the name of its line, or one that an operator
ordered instead, also where its line has an address; a server of an SRV label has the label, and
the target of its record where that came without an address. Servers come and go at run time. All
servers with the same section, name, family and options share one resolution. A target, an ordered
name or that of an added server is dropped when it has no server. Opens no socket, reads no clock,
knows no schedule.

The names of the configuration are made at once, while a predecessor may still write its records.
From `begin` on the records are this process's. Labels and orders, on which other names depend, are
restored then; a host name when it is asked for first, so that many names put no question off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from resolverd.board import Board
from resolverd.config import (
    NO_ROW,
    Family,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.dns.wire import name_to_wire
from resolverd.names.added_rows import AddedRows, Resolved
from resolverd.names.host import ResolvedName
from resolverd.names.service import ResolvedService
from resolverd.names.slot_publisher import ServedServers
from shm.log_level import Log, LogLevel

HostKey = tuple[str, str, Family, bool, bool]  # section, name, preferred, searched, all families


class NameRegistry:
    """All names by key; a name of the configuration has its index as key.

    `appeared` is called with the key of a new name, `vanished` with key, section and time of a
    dropped one, `wanted` with the key of one that rests, before it is looked at.
    """

    def __init__(
        self,
        settings: ResolverdSettings,
        board: Board,
        log: Log,
        *,
        now_ms: int,
        appeared: Callable[[int], None],
        vanished: Callable[[int, str, int], None],
        wanted: Callable[[int], None],
    ) -> None:
        """Make the names of the configuration; call `begin` before the first event."""
        self._sections = {section.name: section for section in settings.sections}
        self._families = settings.families
        self._board = board
        self._log = log
        self._appeared, self._vanished, self._wanted = appeared, vanished, wanted
        self._resting: set[int] = set()  # the transport repeats their runs
        self.served = ServedServers(board, log)
        self._by_key: dict[int, Resolved] = {}
        self._hosts: dict[HostKey, int] = {}
        self._labels: dict[tuple[str, str], int] = {}  # of section and SRV label
        self._fed_by: dict[int, int] = {}  # slot -> key of the host name that feeds it
        self._home: dict[int, int] = {}  # slot -> key of the name in its line
        self._unsettled: dict[int, None] = {}
        # of servers whose line has no resolution of the configuration: an address, or added
        self._apart = {each.servers[0].slot: each for each in settings.addressed}
        self._added_rows = AddedRows()
        self._orders: dict[int, str] = {}
        self._next_key = 1 + max((each.index for each in settings.resolutions), default=-1)
        self._begun_ms = now_ms
        self._services = [each for each in settings.resolutions if each.is_service]
        hosts = [each for each in settings.resolutions if not each.is_service]
        for each in hosts:
            self._prepare_host(each, now_ms)
        self._pending = {each.index for each in hosts}  # without what their records say

    def begin(self, now_ms: int, moved: Iterable[int]) -> None:
        """Take the records over, which hold still; those of `moved` slots were read too early."""
        self._begun_ms = now_ms
        for slot in moved:
            if slot in self.served:
                name = self._by_key[self._home[slot]].settings.name
                self.served.take(self.served[slot].server, name)
        for slot in self.served.renamed():  # all are made: an order may name any of them
            self[self._home[slot]]
        for each in self._apart.values():
            self._take_apart(each, now_ms)
        for each in self._services:
            self._take_service(each, now_ms)

    def __getitem__(self, key: int) -> Resolved:
        """The name with this key; KeyError if it was dropped."""
        name = self._by_key[key]
        if key in self._resting:
            self._resting.discard(key)
            self._wanted(key)
        if self._pending and key in self._pending and isinstance(name, ResolvedName):
            self._pending.discard(key)
            self._take_host(name, self._begun_ms)
        return name

    def rest(self, key: int) -> None:
        """The runs of this name are repeated elsewhere until it is looked at."""
        self._resting.add(key)

    def peek(self, key: int) -> Resolved:
        """The name with this key, of which nothing may be restored yet."""
        return self._by_key[key]

    def __contains__(self, key: int) -> bool:
        """Whether a name has this key."""
        return key in self._by_key

    def __iter__(self) -> Iterator[int]:
        """The keys of all names."""
        return iter(self._by_key)

    def __len__(self) -> int:
        """How many names are resolved."""
        return len(self._by_key)

    def feeding(self, slot: int) -> list[int]:
        """The keys of all names that the server's address depends on."""
        keys: dict[int, None] = {}
        if slot in self._home and isinstance(self._by_key[self._home[slot]], ResolvedService):
            keys[self._home[slot]] = None
        if slot in self._fed_by:
            keys[self._fed_by[slot]] = None
        return list(keys)

    def ordered(self, slot: int) -> str:
        """The name that an operator ordered for the server, "" for none."""
        return self._orders.get(slot, "")

    def is_added(self, slot: int) -> bool:
        """Whether the server was added at run time and has the name of its line."""
        return slot in self._apart and bool(self._apart[slot].name) and not self.ordered(slot)

    def follow(self, section: ResolversSection) -> None:
        """A section has other nameservers, or another search list."""
        self._sections[section.name] = section
        for name in self._by_key.values():
            if name.section.name == section.name:
                name.follow(section)

    def order(self, slot: int, name: str, now_ms: int) -> None:
        """Apply an order of the operator: the server's name, "" for the one of its line."""
        name = name.lower().removesuffix(".")
        home = self._home_of(slot)
        if home is None or self._orders.get(slot, "") == name:
            return  # a server of an SRV label has the target of its record
        if name and not _is_name(name):
            self._log(LogLevel.WARNING, f"'{name}' is no name that could be resolved.")
            return
        self._orders[slot] = name
        server = next(each for each in home.servers if each.slot == slot)
        if slot not in self.served:
            self.served.take(server, name)
        self.release(slot)
        self.served.rename(slot, name, name or home.name, now_ms)
        if name:
            self._feed(server, home, name, now_ms, 0)
        elif home.name and slot in self._apart:
            self._feed(server, home, home.name, now_ms, 0)
            self._lend_row(slot, home)
        elif slot in self._home:
            own = self[self._home[slot]]
            assert isinstance(own, ResolvedName)
            own.join(server, now_ms)
            self._fed_by[slot] = self._home[slot]
            self._unsettled[self._home[slot]] = None
        self.settle(now_ms)

    def _home_of(self, slot: int) -> ResolutionSettings | None:
        """The settings of the server's name; None for a server of a label, or without a name."""
        if slot in self._apart:
            return self._apart[slot]
        home = self._by_key.get(self._home.get(slot, NO_ROW))
        return home.settings if isinstance(home, ResolvedName) else None

    def come(self, settings: ResolutionSettings, now_ms: int) -> None:
        """A server was added at run time: its settings, `name` empty where it has an address."""
        if settings.is_service:
            self._join_label(settings, now_ms)
        else:
            self._apart[settings.servers[0].slot] = settings
            self._take_apart(settings, now_ms)
        self.settle(now_ms)

    def _join_label(self, settings: ResolutionSettings, now_ms: int) -> None:
        """An added server has a label in its line, of other servers as well or of it alone."""
        [server] = settings.servers
        key = self._labels.get((settings.section, settings.name))
        if key is None:
            key, self._next_key = self._next_key, self._next_key + 1
            alone = msgspec.structs.replace(settings, index=key, servers=())
            self._make_service(alone, now_ms, has_record=False)
            self._appeared(key)
        service = self[key]
        assert isinstance(service, ResolvedService)
        self.served.take(server, settings.name)
        self._home[server.slot] = key
        service.join(server, now_ms)
        self._added_rows.join(key, service, server.slot, settings.index)
        self._unsettled[key] = None

    def go(self, slot: int, now_ms: int) -> None:
        """The server of this slot was deleted: it has no name any more."""
        self._apart.pop(slot, None)
        self._orders.pop(slot, None)
        self.release(slot)
        key = self._home.pop(slot, None)
        home = None if key is None else self[key]
        if key is not None and isinstance(home, ResolvedService):
            home.leave(slot)
            self._added_rows.leave(key, home, slot)
            self._unsettled[key] = None
        elif key is not None and key not in self._home.values():
            self._abandon(key)
        self.served.drop(slot)
        self.settle(now_ms)

    def _abandon(self, key: int) -> None:
        """A name of the configuration has lost the last server whose line has it."""
        name = self[key]
        assert isinstance(name, ResolvedName), "those of the files with a label are not deleted"
        name.abandon()
        self._added_rows.abandoned(key, name)
        self._unsettled[key] = None

    def need(self, server: ResolvedServer, name: str, now_ms: int, since_ms: int = 0) -> None:
        """Feed the server of a label from a host name; as for `ResolvedName.join`."""
        self._feed(server, self._by_key[self._home[server.slot]].settings, name, now_ms, since_ms)

    def release(self, slot: int) -> None:
        """Detach the server from its host name; `settle` drops the name if it has no server."""
        key = self._fed_by.pop(slot, None)
        if key is not None:
            name = self[key]
            assert isinstance(name, ResolvedName)
            name.leave(slot)
            self._added_rows.leave(key, name, slot)
            self._unsettled[key] = None

    def settle(self, now_ms: int) -> None:
        """Assign known records to servers that have joined, drop names without a server."""
        while self._unsettled:  # a label that is settled may leave targets that are not
            key = next(iter(self._unsettled))
            del self._unsettled[key]
            name = self._by_key[key]
            if name.needed:
                name.settle(now_ms)
                continue
            del self._by_key[key]
            if isinstance(name, ResolvedService):
                del self._labels[name.section.name, name.settings.name]
            else:
                del self._hosts[self._host_key(name.settings)]
            self._vanished(key, name.section.name, now_ms)

    def _prepare_host(self, settings: ResolutionSettings, now_ms: int) -> None:
        self._make_host(settings, now_ms, has_record=True)
        for server in settings.servers:
            self.served.take(server, settings.name)
            self._home[server.slot] = self._fed_by[server.slot] = settings.index
        self._appeared(settings.index)

    def _take_host(self, name: ResolvedName, now_ms: int) -> None:
        settings = name.settings
        name.resolution.put_off(now_ms)
        name.carry_on()
        for server in settings.servers:
            served = self.served[server.slot]
            if served.target:  # ordered by an operator under a predecessor
                self._orders[server.slot] = served.target
                stamp_ms = served.target_stamp_ms
                self._feed(server, settings, served.target, now_ms, stamp_ms)
            else:
                name.take(server)

    def _take_apart(self, home: ResolutionSettings, now_ms: int) -> None:
        """Restore the name of an added server, or one that an operator ordered for any."""
        [server] = home.servers
        target = self._board.target(server.slot)
        name = target.name or home.name
        if not name:
            return
        self.served.take(server, name, dated=bool(home.name))
        if target.name:
            self._orders[server.slot] = target.name
        self._feed(server, home, name, now_ms, target.stamp_ms, own=not target.name)
        if not target.name:
            self._lend_row(server.slot, home)

    def _lend_row(self, slot: int, home: ResolutionSettings) -> None:
        """An added server has the name of its line: its row may be that of the name."""
        key = self._fed_by[slot]
        name = self._by_key[key]
        assert isinstance(name, ResolvedName)
        self._added_rows.join(key, name, slot, home.index)

    def _make_service(
        self, settings: ResolutionSettings, now_ms: int, *, has_record: bool
    ) -> ResolvedService:
        section = self._sections[settings.section]
        service = ResolvedService(
            settings,
            section,
            self._families,
            self.served,
            self._board,
            log=self._log,
            now_ms=now_ms,
            targets=self,
            has_record=has_record,
        )
        self._by_key[settings.index] = service
        self._labels[settings.section, settings.name] = settings.index
        return service

    def _take_service(self, settings: ResolutionSettings, now_ms: int) -> None:
        service = self._make_service(settings, now_ms, has_record=True)
        for server in settings.servers:
            self.served.take(server, settings.name)
            self._home[server.slot] = settings.index
        service.carry_on(now_ms)
        self._appeared(settings.index)

    def _make_host(
        self, settings: ResolutionSettings, now_ms: int, *, has_record: bool
    ) -> ResolvedName:
        name = ResolvedName(
            settings,
            self._sections[settings.section],
            self._families,
            self.served,
            self._board,
            log=self._log,
            now_ms=now_ms,
            has_record=has_record,
        )
        self._by_key[settings.index] = name
        self._hosts[self._host_key(settings)] = settings.index
        return name

    def _host_key(self, settings: ResolutionSettings) -> HostKey:
        single = len(self._families) == 1  # it takes precedence over `resolve-prefer`
        preferred = self._families[0] if single else settings.preferred
        merges = settings.all_families and not single
        return settings.section, settings.name, preferred, settings.search, merges

    def _feed(
        self,
        server: ResolvedServer,
        home: ResolutionSettings,
        host: str,
        now_ms: int,
        since_ms: int,
        *,
        own: bool = False,
    ) -> None:
        """`own`: the server has no address but one that this name has given it."""
        preferred = home.preferred if server.preferred is Family.NONE else server.preferred
        settings = ResolutionSettings(
            self._next_key,
            home.section,
            host,
            preferred,
            (),
            search=home.search,
            all_families=server.all_families,
        )
        key = self._hosts.get(self._host_key(settings))
        if key is None:
            key, self._next_key = self._next_key, self._next_key + 1
            self._make_host(settings, now_ms, has_record=False)
            self._appeared(key)
        name = self[key]
        assert isinstance(name, ResolvedName)
        if own and name.permanent:
            name.take(server)  # the resolution record has the times
        else:
            name.join(server, now_ms, since_ms)
        self._fed_by[server.slot] = key
        self._unsettled[key] = None


def _is_name(name: str) -> bool:
    try:
        name_to_wire(name)
    except ValueError:
        return False
    return True
