"""The servers of a configuration by slot, backend, name and id: the one place to read them.

    table[slot]           its settings: `name`, `backend_index`, and all options of its line
    table.of(proxy)       those of one backend, in the order of the file
    table, len(table)     all, by slot; how many there are
    table.watched()       those that have a health check or an agent
    table.has_programs    whether the check of one is a program
    table.capacity        how many slots a segment has for them
    ServerNames(table)    by the words of an operator
    Configured            settings with their table
    configured_server(server), state_server(proxy, server)
                          what the numbers and the row of `show servers state` depend on

The entries are the objects of the settings, so that a table costs some words for each backend and
nothing for a server; the generation in force has one in its Runtime, which the children inherit.

The capacity is no less than the count, and nothing may take one for the other: records, counter
rows and hints of a segment are as many as its slots (`Segment.shape.slots`), and a slot without a
server has no entry here. The generation of a slot is that of its address: it is read with the
address, from the record in the segment (`SlotTableReader.slot`), because two reads could tell of
two addresses. The options of an entry are fixed for the lifetime of its table.

Where the line is: proxy/config makes `Proxy.servers` while it links a configuration, and
proxy/supervisor/passage.py takes settings apart and puts them together again on their way through
a pipe. Everything else asks a table, also what compares two configurations or prepares one before
its segment exists: it makes one of the settings. Must not know the segment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from copy import copy
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from proxy.config.model.checks import ExternalCheck
from proxy.config.model.settings import (
    CHECK_FALL,
    CHECK_RISE,
    Proxy,
    Server,
    Settings,
)
from resolverd.config import StateServer
from shm.standing import ConfiguredServer


class ServerTable:
    """All servers of a configuration, those of disabled sections among them."""

    __slots__ = (
        *("_changed", "_count", "_firsts", "_groups", "_laid", "_placeholders"),
        *("backends", "capacity", "revision"),
    )

    def __init__(self, settings: Settings) -> None:
        """Slots of one backend are neighbours, in the order of the backends."""
        self.backends = list(settings.backends)  # by backend index, with the names they have now
        self._placeholders: dict[int, Proxy] = {}  # of spare backends that have a name
        self.capacity = max(  # slots of a segment: those of the file's servers, and spare ones
            (first_slot(each) + len(each.servers) + each.spare_slots for each in self.backends),
            default=0,
        )
        self._groups = [proxy.servers for proxy in self.backends]
        self.revision = 0  # grows with each server that comes or goes
        self._changed: dict[int, Server | None] = {}  # by slot, what is not as in the file
        self._laid = tuple(group for group in self._groups if group)
        self._firsts = tuple(group[0].slot for group in self._laid)
        self._count = sum(map(len, self._laid))

    def __len__(self) -> int:
        """How many servers there are."""
        return self._count

    def __iter__(self) -> Iterator[Server]:
        """All servers, by backend; those that were added come last in theirs."""
        return chain.from_iterable(self._groups)

    def __getitem__(self, slot: int) -> Server:
        """The server in this slot; raises KeyError for a slot without one."""
        if slot in self._changed:
            changed = self._changed[slot]
            if changed is None:
                raise KeyError(slot)
            return changed
        server = self._configured(slot)
        if server is None:
            raise KeyError(slot)
        return server

    def _configured(self, slot: int) -> Server | None:
        """The server that the files have in this slot."""
        number = bisect_right(self._firsts, slot) - 1
        if number < 0 or slot - self._firsts[number] >= len(self._laid[number]):
            return None
        return self._laid[number][slot - self._firsts[number]]

    def add(self, server: Server) -> None:
        """A server that was added at run time; its slot has none."""
        group = self._groups[server.backend_index]
        self._groups[server.backend_index] = (*group, server)
        self._changed[server.slot] = server
        self.revision += 1
        self._count += 1

    def rename(self, slot: int, name: str) -> Server:
        """Give a server another name; it, as it is now. Raises KeyError for a slot without one."""
        former = self[slot]
        server = replace(former, name=name)
        group = self._groups[server.backend_index]
        renamed = tuple(server if each is former else each for each in group)
        self._groups[server.backend_index] = renamed
        self._changed[slot] = server
        self.revision += 1
        return server

    def name_backend(self, index: int, name: str) -> Proxy:
        """A spare backend that has got a name."""
        self._placeholders.setdefault(index, self.backends[index])
        self.backends[index] = _named(self._placeholders[index], name)
        self.revision += 1
        return self.backends[index]

    def unname_backend(self, index: int) -> Proxy:
        """It has none any more; raises KeyError if it had none."""
        named, self.backends[index] = self.backends[index], self._placeholders.pop(index)
        self.revision += 1
        return named

    def named_backends(self) -> list[Proxy]:
        """The backends that were added at run time, by index."""
        return [self.backends[index] for index in sorted(self._placeholders)]

    def remove(self, slot: int) -> Server:
        """Take a server out; raises KeyError for a slot without one."""
        server = self[slot]
        group = self._groups[server.backend_index]
        rest = tuple(each for each in group if each is not server)
        self._groups[server.backend_index] = rest
        self._changed[slot] = None
        self.revision += 1
        self._count -= 1
        return server

    def added(self) -> Iterator[Server]:
        """Those that were added at run time."""
        return (server for server in self._changed.values() if server is not None and server.added)

    def renamed(self) -> Iterator[tuple[Server, Server]]:
        """Those of the files that have another name by now: as in the file, and as they are."""
        for slot, server in self._changed.items():
            configured = self._configured(slot)
            if server is not None and configured is not None and server.name != configured.name:
                yield configured, server

    def deleted(self) -> Iterator[Server]:
        """Those of the files that were deleted at run time, by slot: no other gets such a slot."""
        for slot in sorted(self._changed):
            server = self._configured(slot)
            if server is not None and self._changed[slot] is None:
                yield server

    def copy(self) -> ServerTable:
        """Another one with the same servers."""
        copied = copy(self)
        copied._groups, copied._changed = list(self._groups), dict(self._changed)
        copied.backends, copied._placeholders = list(self.backends), dict(self._placeholders)
        return copied

    def of(self, proxy: Proxy) -> tuple[Server, ...]:
        """The servers of a backend, in the order of the file; none of what is no backend."""
        return () if proxy.backend_index is None else self._groups[proxy.backend_index]

    def watched(self) -> Iterator[tuple[Proxy, Server]]:
        """Every server with a check or an agent, by slot; none of a disabled section."""
        for proxy in self.backends:
            if not proxy.disabled:
                for server in self.of(proxy):
                    if server.watched:
                        yield proxy, server

    def get(self, slot: int) -> Server | None:
        """The server in this slot; None for a slot without one."""
        try:
            return self[slot]
        except KeyError:
            return None

    @property
    def has_programs(self) -> bool:
        """Whether some server is checked by a program, so that there is a runner."""
        return any(
            any(checked_by_program(proxy, server) for server in self.of(proxy))
            for proxy in self.backends
            if isinstance(proxy.check_rules, ExternalCheck) and not proxy.disabled
        )


def _named(spare: Proxy, name: str) -> Proxy:
    return replace(spare, name=name, spare_of="", added_from=spare.spare_of)


def first_slot(proxy: Proxy) -> int:
    """Where the slots of a backend begin."""
    return proxy.servers[0].slot if proxy.servers else proxy.first_slot


def spare_slots(backend: Proxy) -> range:
    """The slots behind those of the file's servers, for servers that are added at run time."""
    first = first_slot(backend) + len(backend.servers)
    return range(first, first + backend.spare_slots)


def checked_by_program(proxy: Proxy, server: Server) -> bool:
    """Whether the check of a server is an external one."""
    return isinstance(proxy.check_rules, ExternalCheck) and server.check is not None


class Configured(NamedTuple):
    """A configuration and the table of its servers."""

    settings: Settings
    servers: ServerTable

    @classmethod
    def of(cls, settings: Settings) -> Configured:
        """With a table that is made now."""
        return cls(settings, ServerTable(settings))


class Names(NamedTuple):
    """The servers of one backend."""

    by_name: dict[str, Server]
    by_id: dict[int, Server]


class ServerNames:
    """The servers of a table by name and by id, at a cost that does not grow with their number.

    Costs two entries of a dictionary for each server: made only where operators name servers.
    """

    def __init__(self, table: ServerTable) -> None:
        self._names = {
            index: Names(
                {server.name: server for server in table.of(proxy)},
                {server.id: server for server in table.of(proxy)},
            )
            for index, proxy in enumerate(table.backends)
        }

    def named(self, proxy: Proxy, name: str) -> Server | None:
        """The server of a backend that has this name."""
        assert proxy.backend_index is not None
        return self._names[proxy.backend_index].by_name.get(name)

    def numbered(self, proxy: Proxy, server_id: int) -> Server | None:
        """The server of a backend that has this id."""
        assert proxy.backend_index is not None
        return self._names[proxy.backend_index].by_id.get(server_id)

    def add(self, server: Server) -> None:
        """A server that the table has now."""
        names = self._names[server.backend_index]
        names.by_name[server.name] = names.by_id[server.id] = server

    def remove(self, server: Server) -> None:
        """A server that the table has no more."""
        names = self._names[server.backend_index]
        del names.by_name[server.name], names.by_id[server.id]


def configured_server(server: Server) -> ConfiguredServer:
    """What the numbers of `show servers state` depend on."""
    check = server.check
    return ConfiguredServer(
        server.fqdn,
        server.srv_record,
        server.port,
        server.disabled,
        check is not None,
        check.rise if check else CHECK_RISE,
        check.fall if check else CHECK_FALL,
        server.local is not None,
    )


def state_server(proxy: Proxy, server: Server) -> StateServer:
    """What its row of `show servers state` or of a state file depends on."""
    check = server.check
    return StateServer(
        slot=server.slot,
        backend_id=proxy.id,
        backend_name=proxy.name,
        backend_id_given=proxy.id_given,
        id=server.id,
        name=server.name,
        id_given=server.id_given,
        configured=configured_server(server),
        resolution_index=server.resolution_index,
        weight=server.balancing.weight,
        check_port=check.port or 0 if check else 0,
        check_address=check.address if check else None,
        tracked_slot=server.tracked_slot,
        addressed=server.resolvable and server.resolution_index is None,
        agent_port=server.agent.port if server.agent else 0,
        agent_address=server.agent.address if server.agent else None,
    )
