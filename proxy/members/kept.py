"""Servers and backends that come and go at run time, as state files have rows of them.

What else goes by a change is no affair of it.
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.members.table_changes import backend_name, member_server, spare_backends
from proxy.server_table import ServerTable, state_server
from resolverd.config import StateNews
from shm.members import MemberReader, MemberState
from shm.segment import Segment


class KeptMembers:
    """Reads their changes from the segment; satisfies `resolverd.config.StateMembers`."""

    def __init__(self, segment: Segment, servers: ServerTable) -> None:
        """`servers` are those of the files."""
        self._reader = MemberReader(segment)
        self._servers = servers
        self._backends = list(servers.backends)
        self._spare = spare_backends(servers.backends)

    def news(self) -> StateNews:
        """What has changed since the last look, at first since the start."""
        news = StateNews([], [])
        for member in self._reader.changed():
            spare = self._spare.get(member.slot)
            if spare is not None:
                self._backends[spare] = replace(self._backends[spare], name=backend_name(member))
                continue
            news.gone.append(member.slot)
            server = None
            if member.state == MemberState.ADDED:
                server = member_server(member)
            elif member.state == MemberState.RENAMED:
                server = replace(self._servers[member.slot], name=member.name.decode())
            if server is not None:
                news.come.append(state_server(self._backends[server.backend_index], server))
        return news
