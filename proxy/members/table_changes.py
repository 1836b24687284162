"""Servers and backends that come and go at run time, brought into this process's table.

Each process that reads the table has one of these: control, which makes the changes, each worker,
and the supervisor for a moment at a reload. A process that has just started finds all that was
changed since the configuration was loaded.

Owns what a line of the segment says (shm/members.pxd): the settings of one server. Must not know
what a process does about a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from proxy.config.model.settings import Proxy, Server
from proxy.server_table import ServerTable, first_slot
from shm.members import BACKEND_LINE, Member, MemberReader, MemberState, is_published
from shm.segment import Segment


class MemberChanges(NamedTuple):
    """What changed since the last look, each in the order of the changes."""

    removed: list[Server]
    added: list[Server]
    renamed: list[tuple[Server, Server]]  # as they were, and as they are
    emptied: list[int]  # slots of which nothing counts any more
    named: list[Proxy]  # spare backends that got a name
    unnamed: list[Proxy]  # those that lost it, as they were


class ServerMembers:
    """Keeps a table up to date; its first look finds all changes since the start."""

    def __init__(self, servers: ServerTable, segment: Segment) -> None:
        self._servers = servers
        self._spare = spare_backends(servers.backends)
        self._reader = MemberReader(segment)

    @property
    def seen(self) -> int:
        """The last change that the table goes by."""
        return self._reader.position

    def catch_up(self) -> MemberChanges:
        """Look for changes, and make them in the table."""
        changes = MemberChanges([], [], [], [], [], [])
        for member in self._reader.changed():
            backend = self._spare.get(member.slot)
            if backend is not None:
                self._name(backend, member, changes)
                continue
            present = self._servers.get(member.slot)
            added = None
            if member.state == MemberState.RENAMED:
                self._rename(member, changes)
                continue
            if member.state == MemberState.ADDED:
                added = member_server(member)
                if present is not None and present.added == added.added:
                    self._rename(member, changes)
                    continue
            elif member.state == MemberState.EMPTIED:
                changes.emptied.append(member.slot)
            if present is not None:
                changes.removed.append(self._servers.remove(member.slot))
            if added is not None:
                self._servers.add(added)
                changes.added.append(added)
        return changes

    def _rename(self, member: Member, changes: MemberChanges) -> None:
        """The server of the slot is still the same, and may have another name."""
        former, name = self._servers[member.slot], member.name.decode()
        if name and former.name != name:
            changes.renamed.append((former, self._servers.rename(member.slot, name)))

    def _name(self, backend: int, member: Member, changes: MemberChanges) -> None:
        """The first slot of a spare backend has changed: it got a name, or has none any more."""
        name = backend_name(member)
        former = {each.backend_index: each for each in self._servers.named_backends()}.get(backend)
        if former is not None and name != former.name:
            changes.unnamed.append(self._servers.unname_backend(backend))
        if name and (former is None or name != former.name):
            changes.named.append(self._servers.name_backend(backend, name))
        if member.state == MemberState.EMPTIED:
            changes.emptied.append(member.slot)


def spare_backends(backends: Sequence[Proxy]) -> dict[int, int]:
    """By its first slot, where its name stands, each spare backend's index."""
    return {
        first_slot(each): number
        for number, each in enumerate(backends)
        if each.spare_of or each.added_from
    }


def backend_name(member: Member) -> str:
    """The name of a spare backend by its first slot; empty: it has none."""
    if member.state != MemberState.ADDED:
        return ""
    return member.line.removeprefix(BACKEND_LINE).decode()


def member_server(member: Member) -> Server:
    """An added server, by the name that it has now."""
    server = _decoder().decode(member.line)
    return replace(server, name=member.name.decode()) if member.name else server


@cache
def _decoder() -> msgspec.msgpack.Decoder[Server]:
    """Made for the first server that is added: it takes more memory than the rest of a table."""
    return msgspec.msgpack.Decoder(Server)


def encode_member(server: Server) -> bytes:
    """The line of a server."""
    return msgspec.msgpack.encode(server)


def members_now(servers: ServerTable, segment: Segment) -> ServerTable:
    """A table with all changes until now; the one that is given stays as it is."""
    copied = servers.copy()
    ServerMembers(copied, segment).catch_up()
    return copied


def members_left(old: ServerTable, new: ServerTable) -> Iterator[str]:
    """A line for each server or backend that came or went, where the files of `new` differ."""
    members = MembersOf(new)
    names = {proxy.name for proxy in new.backends}
    for proxy in old.named_backends():
        if proxy.name not in names:
            yield f"backend {proxy.name}, added at run time, is not in the files: it is gone"
    for server in old.added():
        backend = old.backends[server.backend_index].name
        name, heir = f"{backend}/{server.name}", members[backend].get(server.name)
        if heir is None:
            yield f"server {name}, added at run time, is not in the files: it is gone"
        elif not same_place(heir, server):
            told = f"server {name}, added at run time with {_where(server)}, is in the files"
            yield f"{told} with {_where(heir)}: it goes by these"
    for configured, now in old.renamed():
        backend = old.backends[now.backend_index].name
        heirs = members[backend]
        name = name_after_reload(configured, now, heirs)
        told = f"server {backend}/{now.name}, renamed at run time"
        if name == configured.name and name in heirs:
            yield f"{told}, is {name} again"
        elif name in heirs and not same_place(heirs[name], now):
            told = f"{told} with {_where(now)}, is in the files with {_where(heirs[name])}"
            yield f"{told}: it goes by these"
    former = MembersOf(old)  # another may have been added in place of a deleted one
    for server in old.deleted():
        backend = old.backends[server.backend_index].name
        if server.name in members[backend].keys() - former[backend].keys():
            name = f"{backend}/{server.name}"
            yield f"server {name}, deleted at run time, is in the files: it is there again"


def name_after_reload(configured: Server, now: Server, heirs: Mapping[str, Server]) -> str:
    """By which name of new files a renamed server goes on; `heirs` are the servers there.

    By the one that it has now where the files call it so: not where they have its former name as
    well, and another machine by the new one, as when two servers have changed names.
    """
    heir = heirs.get(now.name)
    if heir is not None and (configured.name not in heirs or same_place(heir, now)):
        return now.name
    return configured.name


def same_place(one: Server, other: Server) -> bool:
    """Whether both lines say the same address, or name."""
    return _where(one) == _where(other)


def published_again(old: ServerTable, segment: Segment, new: ServerTable) -> Iterator[str]:
    """A line for each backend that an order kept clients from, and that files of `new` have.

    `segment` is that of the old table. To be unpublished ends with a reload, as in HAProxy.
    """
    names = {proxy.name for proxy in new.backends}
    for index, proxy in enumerate(old.backends):
        if proxy.name in names and not (proxy.spare_of or is_published(segment, index)):
            yield f"backend {proxy.name}, unpublished at run time, is published again"


def _where(server: Server) -> str:
    if server.local is not None:
        return server.host
    port = f"{server.port:+}" if server.port_relative else server.port
    return f"{server.fqdn or server.host}:{port}"


class MembersOf(dict[str, dict[str, Server]]):
    """The servers of each backend by name, found when they are asked for."""

    def __init__(self, table: ServerTable) -> None:
        """By the names of backends, too."""
        self._table = table
        self._backends = {proxy.name: proxy for proxy in table.backends}

    def __missing__(self, backend: str) -> dict[str, Server]:
        proxy = self._backends.get(backend)
        members = () if proxy is None else self._table.of(proxy)
        self[backend] = {member.name: member for member in members}
        return self[backend]
