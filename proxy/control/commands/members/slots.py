"""The spare slots of each backend: which are free, and how a deleted server's becomes free again.

A slot that never had a server comes first. One whose server was deleted is free once no generation
of the program has a session there, and all workers have forgotten what they counted of it. A
successor of this process finds in the segment how far each has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from proxy.control.command import Piece
from proxy.control.commands.members.applied import Applied
from proxy.runtime import Bells, now_ms
from shm.members import MemberReader, MemberState, MemberWriter
from shm.segment import Segment
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import Cause

LOOKED_MAX = 16  # slots that wait to be free, for one order


class Slots:
    """The slots of all backends, as control changes them."""

    def __init__(self, segment: Segment, bells: Bells) -> None:
        self.writer = MemberWriter(segment)
        self._segment = segment
        self._bells = bells
        self._records = SlotTableWriter(segment)
        self._freed: dict[int, deque[int]] = {}  # by backend
        self._waiting: dict[int, deque[int]] = {}  # likewise: a server was deleted there
        self._emptied: set[int] = set()  # of these: workers were told to forget it
        self._changes: dict[int, int] = {}  # of these: by which change
        reader = SlotTableReader(segment)
        for member in MemberReader(segment).changed():
            backend = reader.static(member.slot).backend
            if member.state == MemberState.FREE:
                self._freed.setdefault(backend, deque()).append(member.slot)
            elif member.state in (MemberState.DELETED, MemberState.EMPTIED):
                self._wait(backend, member.slot, member.change)
                if member.state == MemberState.EMPTIED:
                    self._emptied.add(member.slot)

    def _wait(self, backend: int, slot: int, change: int) -> None:
        self._waiting.setdefault(backend, deque()).append(slot)
        self._changes[slot] = change

    def free(self, backend: int) -> int | None:
        """A slot that may have a server now; None if none is free."""
        unused = self.writer.unused(backend)
        if unused is not None:
            return unused
        freed = self._freed.get(backend)
        return freed[0] if freed else None

    def taken(self, backend: int, slot: int) -> None:
        """The slot that was free has a server."""
        freed = self._freed.get(backend)
        if freed and freed[0] == slot:
            freed.popleft()

    def address(self, slot: int, address: str | None, port: int) -> None:
        """Where the server of this slot is."""
        cause = Cause.NOTHING if address is None else Cause.CONFIGURED
        self._records.publish(slot, address, port, cause=cause, now_ms=now_ms())

    def delete(self, backend: int, slot: int) -> Applied:
        """The server of the slot goes; what to wait for before the slot is looked at again."""
        change = self.writer.delete(slot)
        self.address(slot, None, 0)
        self._wait(backend, slot, change)
        self._bells.ring_table()
        return Applied(self._segment, change, in_relays=True)

    def recycle(self, backend: int) -> Iterator[Piece]:
        """Bring some slots on the way to be free; waits for workers."""
        waiting = self._waiting.get(backend, deque())
        looked = [waiting.popleft() for _ in range(min(len(waiting), LOOKED_MAX))]
        try:
            for slot in looked:
                if slot not in self._emptied and self._deserted(slot):
                    self._changes[slot] = self.writer.empty(slot)
                    self._emptied.add(slot)
            emptied = [slot for slot in looked if slot in self._emptied]
            if emptied:
                self._bells.ring_table()
                yield self._forgotten(max(self._changes[slot] for slot in emptied))
            for slot in emptied:
                if not self._forgotten(self._changes[slot]).now():
                    self._release(backend, slot)
                    looked.remove(slot)
        finally:
            waiting.extend(looked)

    def _deserted(self, slot: int) -> bool:
        applied = not Applied(self._segment, self._changes[slot]).now()
        return applied and self.writer.quiet(slot)

    def _forgotten(self, change: int) -> Applied:
        """That all workers have emptied their rows, the successors of dead ones, too."""
        return Applied(self._segment, change, by_living=True)

    def _release(self, backend: int, slot: int) -> None:
        self.writer.free(slot)
        self._emptied.discard(slot)
        del self._changes[slot]
        self._freed.setdefault(backend, deque()).append(slot)
