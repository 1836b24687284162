"""Servers with `resolvers` that come and go at run time, as resolverd has to know them.

What another server is, and what else goes by a change, is no affair of it.
"""

from __future__ import annotations

from proxy.members.table_changes import member_server
from resolverd.config import MemberNews
from shm.members import BACKEND_LINE, Member, MemberReader, MemberState
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import StaticFlag


class ResolvedMembers:
    """Reads their changes from the segment; satisfies `resolverd.config.ComingServers`."""

    def __init__(self, segment: Segment) -> None:
        self._reader = MemberReader(segment)
        self._slots = SlotTableReader(segment)
        self._known: dict[int, int] = {}  # slot -> the change that added its server

    @property
    def seen(self) -> int:
        """The last change that `news` has told of."""
        return self._reader.position

    @property
    def waiting(self) -> bool:
        """Whether there has been a change since."""
        return self._reader.changes != self._reader.position

    def news(self) -> MemberNews:
        """What has changed since the last look, at first since the start.

        The slot of a deleted one is resolverd's until it has gone by this: so the flags are those
        of that server, also for a process that is new, and control writes no record there.
        """
        news = MemberNews([], [])
        for member in self._reader.changed():
            if member.state != MemberState.ADDED:
                if self._is_left(member):
                    news.gone.append(member.slot)
                self._known.pop(member.slot, None)
                continue
            if member.line.startswith(BACKEND_LINE):
                continue
            server = member_server(member)
            if server.resolution is not None and self._known.get(member.slot) != server.added:
                self._known[member.slot] = server.added
                news.come.append(server.resolution)
        return news

    def _is_left(self, member: Member) -> bool:
        """Whether the slot is still that of a deleted server which had `resolvers`."""
        resolved = self._slots.static(member.slot).flags & StaticFlag.RESOLVED
        gone = member.state in (MemberState.DELETED, MemberState.EMPTIED)
        return bool(resolved and gone and self._reader.read(member.slot).change == member.change)
