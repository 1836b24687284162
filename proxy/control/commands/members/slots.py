"""The spare slots of each backend: which are free, and how a deleted server's becomes free again.

A slot that never had a server comes first. One whose server was deleted is free once no generation
of the program has a session there, all workers have forgotten what they counted of it, and
resolverd writes there no more. A successor of this process finds in the segment how far each has
come. The slot of a server of the files stays empty until a reload.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import accumulate

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import Piece
from proxy.control.commands.members.applied import Applied
from proxy.control.limits import APPLIED_SECONDS_MAX, IN_FORCE_LOOK_SECONDS
from proxy.members.table_changes import spare_backends
from proxy.runtime import Bells, now_ms, ring
from proxy.server_table import spare_slots
from shm.members import MemberReader, MemberState, MemberWriter
from shm.segment import Segment
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import Cause, SlotFlag, StaticFlag

LOOKED_MAX = 16  # slots that wait to be free, for one order


class OthersTurn:
    """A wait for other orders."""

    async def over(self) -> None:
        """Return when they had their turn."""
        await asyncio.sleep(IN_FORCE_LOOK_SECONDS)


class Slots:
    """The slots of all backends, as control changes them."""

    def __init__(self, segment: Segment, bells: Bells, backends: Sequence[Proxy]) -> None:
        """`backends` by their index."""
        self.writer = MemberWriter(segment)
        self._backends = backends
        self._segment = segment
        self._bells = bells
        self._records = SlotTableWriter(segment)
        self._freed: dict[int, deque[int]] = {}  # by backend
        self._waiting: dict[int, deque[int]] = {}  # likewise: a server was deleted there
        self._looked: Counter[int] = Counter()  # by backend: how many an order is about to free
        self._emptied: set[int] = set()  # of these: workers were told to forget it
        self._changes: dict[int, int] = {}  # of these: by which change
        self._reader = SlotTableReader(segment)
        names = segment.shape.resolutions  # behind those of the files each spare slot has a row
        self._rows = list(accumulate((each.spare_slots for each in backends), initial=names))
        spare = spare_backends(backends)
        for member in MemberReader(segment).changed():
            if member.slot in spare:  # for a name
                continue
            backend = self._reader.static(member.slot).backend
            if member.state == MemberState.FREE:
                self._freed.setdefault(backend, deque()).append(member.slot)
            elif member.state in (MemberState.DELETED, MemberState.EMPTIED):
                if not self._is_spare(backend, member.slot):
                    continue
                self._wait(backend, member.slot, member.change)
                if member.state == MemberState.EMPTIED:
                    self._emptied.add(member.slot)

    def _wait(self, backend: int, slot: int, change: int) -> None:
        self._waiting.setdefault(backend, deque()).append(slot)
        self._changes[slot] = change

    def _is_spare(self, backend: int, slot: int) -> bool:
        return slot in spare_slots(self._backends[backend])

    def name_row(self, backend: int, slot: int) -> int:
        """The resolution record that a spare slot's server lends to its name."""
        return self._rows[backend] + slot - spare_slots(self._backends[backend]).start

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

    def address(self, server: Server) -> None:
        """Where the server is that its slot gets; without an address it waits for its name's."""
        flags = SlotFlag.RMAINT if server.asked_for else SlotFlag(0)
        self._put(server.slot, server.address, server.port, flags)

    def _put(self, slot: int, address: str | None, port: int, flags: SlotFlag) -> None:
        cause = Cause.NOTHING if address is None else Cause.CONFIGURED
        self._records.publish(slot, address, port, cause=cause, flags=flags, now_ms=now_ms())

    def ring(self, slot: int) -> None:
        """Wake all that go by a change of this slot."""
        self._bells.ring_table()
        if self._is_resolved(slot):
            ring((self._bells.resolverd,))

    def delete(self, backend: int, slot: int) -> Applied:
        """The server of the slot goes; what to wait for before the slot is looked at again."""
        change = self.writer.delete(slot)
        if not self._is_resolved(slot):  # else the record is resolverd's until it goes by this
            self._put(slot, None, 0, SlotFlag(0))
        if self._is_spare(backend, slot):
            self._wait(backend, slot, change)
        applied = self.applied(slot, change, in_relays=True)
        self.ring(slot)  # behind that: what others change before it relays see by this, too
        return applied

    def applied(self, slot: int, change: int, *, in_relays: bool = False) -> Applied:
        """That all go by the change of this slot, or their successors will."""
        resolved = self._is_resolved(slot)
        return Applied(self._segment, change, resolved=resolved, in_relays=in_relays)

    def _is_resolved(self, slot: int) -> bool:
        """Whether its server has `resolvers`, or the last one had."""
        return bool(self._reader.static(slot).flags & StaticFlag.RESOLVED)

    def room(self, backend: int) -> Iterator[Piece]:
        """Wait for a slot that is free, where one is on the way to be, as other orders leave it."""
        until_ms = now_ms() + int(APPLIED_SECONDS_MAX * 1000)
        while self.free(backend) is None:
            yield from self.recycle(backend)
            if self.free(backend) is not None or not self._comes_free(backend):
                return
            if now_ms() > until_ms:
                return
            yield OthersTurn()

    def _comes_free(self, backend: int) -> bool:
        waiting = self._waiting.get(backend, ())
        return self._looked[backend] > 0 or any(map(self.writer.quiet, waiting))

    def recycle_in_time(self, backend: int) -> Iterator[Piece]:
        """Do it where no slot is free, or where one wait for workers brings many."""
        if self.free(backend) is None or len(self._waiting.get(backend, ())) >= LOOKED_MAX:
            yield from self.recycle(backend)

    def recycle(self, backend: int) -> Iterator[Piece]:
        """Bring some slots on the way to be free; waits for workers."""
        waiting = self._waiting.get(backend, deque())
        looked = [waiting.popleft() for _ in range(min(len(waiting), LOOKED_MAX))]
        taken = len(looked)
        self._looked[backend] += taken
        try:
            for slot in looked:
                if slot not in self._emptied and self._deserted(slot):
                    self._changes[slot] = self.writer.empty(slot)
                    self._emptied.add(slot)
            emptied = [slot for slot in looked if slot in self._emptied]
            for slot in emptied:
                self.ring(slot)
            if emptied:
                yield self._forgotten(max(emptied, key=lambda slot: self._changes[slot]))
            for slot in emptied:
                if not self._forgotten(slot).now():
                    self._release(backend, slot)
                    looked.remove(slot)
        finally:
            self._looked[backend] -= taken
            waiting.extend(looked)

    def _deserted(self, slot: int) -> bool:
        applied = not self.applied(slot, self._changes[slot]).now()
        return applied and self.writer.quiet(slot)

    def _forgotten(self, slot: int) -> Applied:
        """That all have forgotten the slot's server, the successors of dead processes, too."""
        resolved, change = self._is_resolved(slot), self._changes[slot]
        return Applied(self._segment, change, resolved=resolved, by_living=True)

    def _release(self, backend: int, slot: int) -> None:
        self.writer.free(slot)
        self._emptied.discard(slot)
        del self._changes[slot]
        self._freed.setdefault(backend, deque()).append(slot)
