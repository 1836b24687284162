"""Servers and backends that come and go at run time, as state files have rows of them.

What else goes by a change is no affair of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from proxy.config.model.settings import Proxy
from proxy.members.table_changes import backend_name, decode_member, spare_backends
from proxy.server_table import state_server
from resolverd.config import StateNews
from shm.members import MemberReader, MemberState
from shm.segment import Segment


class KeptMembers:
    """Reads their changes from the segment; satisfies `resolverd.config.StateMembers`."""

    def __init__(self, segment: Segment, backends: Sequence[Proxy]) -> None:
        """`backends` by their index."""
        self._reader = MemberReader(segment)
        self._backends = list(backends)
        self._spare = spare_backends(backends)

    def news(self) -> StateNews:
        """What has changed since the last look, at first since the start."""
        news = StateNews([], [])
        for member in self._reader.changed():
            spare = self._spare.get(member.slot)
            if spare is not None:
                self._backends[spare] = replace(self._backends[spare], name=backend_name(member))
                continue
            news.gone.append(member.slot)
            if member.state == MemberState.ADDED:
                server = decode_member(member.line)
                news.come.append(state_server(self._backends[server.backend_index], server))
        return news
