"""The only writer of slot records: one record from all that the resolutions give a server.

Owns each server's address, port, weight and name. Decides nothing: resolutions call it. Opens no
socket and reads no clock.

A server attached to an SRV record has two records in the segment: its slot (address, port, weight)
and its target (the name). A slot is emptied, port 0, before its name changes, and filled after
that. So a name beside a port belongs to it, wherever a predecessor was killed.
"""

from __future__ import annotations

import msgspec

from resolverd.assignment.servers_left import Loss, Remaining
from resolverd.assignment.services import Attachment
from resolverd.board import Board
from resolverd.config import ResolvedServer
from resolverd.dns.answer import Address
from resolverd.log.lines import describe_address, describe_loss, describe_return
from resolverd.log.throttle import LogThrottle
from shm.log_level import Log, LogLevel
from shm.states import Cause, SlotFlag

MOVES_MAX = 4  # changes kept for one server: enough to show that it flaps
FROM_ANSWERS = (Cause.DNS, Cause.CARRIED)  # addresses that a valid answer brought


class Moved(msgspec.Struct, frozen=True):
    """A server's address changed, or was lost (`after` is None)."""

    when_ms: int
    before: Address | None
    after: Address | None
    source: str


class Served(msgspec.Struct):
    """One server and its published values."""

    server: ResolvedServer
    name: str  # in log lines: the name that is resolved for it
    address: Address | None
    port: int
    weight: int
    cause: int
    target: str = ""
    target_stamp_ms: int = 0
    renamed: bool = False  # an SRV record or an operator has given it a name, once
    backup: bool = False  # by the priority of its SRV record
    dated: bool = False  # its target says when its name was resolved: no resolution record does
    replaced: bool = False  # it lost its address to another record, and no line was logged
    moves: tuple[Moved, ...] = ()  # the last MOVES_MAX

    def moved(self, now_ms: int, before: Address | None, source: str) -> None:
        """Add the change to the present address to `moves`."""
        if before != self.address:
            moved = Moved(now_ms, before, self.address, source)
            self.moves = (*self.moves, moved)[-MOVES_MAX:]


class ServedServers:
    """All servers that resolutions feed, by slot.

    `changed`: the bells are to be rung, the caller resets it. `losers` are the backends that have
    lost a server since `take_losers`, each with one of those servers. `throttle` limits lines that
    repeat.
    """

    def __init__(self, board: Board, log: Log) -> None:
        """Call `take` for each server."""
        self._board = board
        self._log = log
        self.throttle = LogThrottle(log)
        self._moved: list[int] = []  # slots
        self._remaining = Remaining(board)
        self._served: dict[int, Served] = {}
        self.changed = False
        self.losers: dict[int, ResolvedServer] = {}

    def __getitem__(self, slot: int) -> Served:
        """The server of this slot; KeyError if no resolution feeds it."""
        return self._served[slot]

    def __contains__(self, slot: int) -> bool:
        """Whether a resolution feeds the server of this slot."""
        return slot in self._served

    def take(self, server: ResolvedServer, name: str, *, dated: bool = False) -> Served:
        """Add a server with the values of its records on the board."""
        slot = self._board.slot(server.slot)
        target = self._board.target(server.slot)
        served = Served(
            server,
            target.name or name,
            None if slot.address is None else Address.parse(slot.address),
            slot.port,
            slot.weight,
            slot.cause,
            target.name,
            target.stamp_ms,
            bool(slot.flags & SlotFlag.FQDN_CHANGED),
            bool(slot.flags & SlotFlag.BACKUP),
            dated,
        )
        self._served[server.slot] = served
        return served

    def drop(self, slot: int) -> None:
        """The server was deleted: no name is left there for the next one."""
        served = self._served.pop(slot, None)
        if served is not None:
            self.throttle.end(_moves(served.server))
            self.throttle.end(_returns(served.server))
        self._board.publish_target(slot, "", 0)

    def renamed(self) -> list[int]:
        """The servers whose name is not the one of their line."""
        return [slot for slot, served in self._served.items() if served.target]

    def point(
        self, slot: int, address: Address | None, cause: Cause, source: str, now_ms: int
    ) -> None:
        """Set or remove the server's address; `source` (a nameserver, a cache) is for the log."""
        served = self._served[slot]
        loss = self._loss(served) if address is None else None
        before, served.address, served.cause = served.address, address, cause
        served.moved(now_ms, before, source if address is not None else _words(cause))
        if not self._publish(served, now_ms) or before == address:
            return
        if loss is not None:
            self._log_loss(served.server, Cause(served.cause), loss)
        else:
            self._log_move(served, before, source, now_ms)

    def attach(self, slot: int, to: Attachment, now_ms: int) -> None:
        """Attach the server to another SRV record, without an address yet."""
        served = self._served[slot]
        if served.address is not None or served.port != 0:
            served.replaced |= served.address is not None
            self._empty(served, Cause.REMOVED, now_ms)
        self._name(served, to.target, 0)
        served.port, served.cause = to.port, Cause.NOTHING
        served.weight, served.backup = to.weight, to.backup
        self._publish(served, now_ms)

    def rate(self, slot: int, to: Attachment, now_ms: int) -> None:
        """Set weight and backup of the server's record."""
        served = self._served[slot]
        served.weight, served.backup = to.weight, to.backup
        self._publish(served, now_ms)

    def release(self, slot: int, cause: Cause, now_ms: int) -> None:
        """Detach the server from its record: it loses address, port and name (S38)."""
        served = self._served[slot]
        loss = self._loss(served)
        self._empty(served, cause, now_ms)
        self._name(served, "", 0)
        if loss is not None:
            self._log_loss(served.server, Cause.REMOVED, loss)

    def rename(self, slot: int, target: str, fqdn: str, now_ms: int) -> None:
        """Set the name `target` that an operator ordered, or withdrew (""); the address stays."""
        served = self._served[slot]
        self._name(served, target, 0)
        served.name = fqdn
        self._publish(served, now_ms)

    def confirm(self, slot: int, stamp_ms: int) -> None:
        """Store when the server's target, or name, was last resolved, for a successor.

        0: it has no resolution of its own, the label's answer has its address.
        """
        served = self._served[slot]
        if served.target or served.dated:
            self._name(served, served.target, stamp_ms)

    def _name(self, served: Served, target: str, stamp_ms: int) -> None:
        if (target, stamp_ms) == (served.target, served.target_stamp_ms):
            return
        served.target, served.target_stamp_ms = target, stamp_ms
        if target:
            served.name = target
            served.renamed = True
        self._board.publish_target(served.server.slot, target, stamp_ms)

    def _empty(self, served: Served, cause: Cause, now_ms: int) -> None:
        before, served.address, served.port, served.cause = served.address, None, 0, cause
        served.moved(now_ms, before, _words(cause))
        served.backup = False
        self._publish(served, now_ms)

    def _publish(self, served: Served, now_ms: int) -> bool:
        flags = SlotFlag.FQDN_CHANGED if served.renamed else SlotFlag(0)
        if served.address is None:
            flags |= SlotFlag.RMAINT
        if served.backup:
            flags |= SlotFlag.BACKUP
        changed = self._board.publish(
            served.server.slot,
            None if served.address is None else served.address.text,
            served.port,
            weight=served.weight,
            cause=served.cause,
            flags=flags,
            now_ms=now_ms,
        )
        self.changed |= changed
        return changed

    def take_moved(self) -> list[int]:
        """The slots that have got another address since the last call."""
        if not self._moved:
            return []
        moved, self._moved = self._moved, []
        return moved

    def take_losers(self) -> dict[int, ResolvedServer]:
        """The backends that have lost a server since the last call, each with one of those."""
        losers, self.losers = self.losers, {}
        self._remaining.forget()
        return losers

    def _loss(self, served: Served) -> Loss | None:
        """The loss of a server's address; None if it has none."""
        return None if served.address is None else self._remaining.without(served.server)

    def _log_move(self, served: Served, before: Address | None, source: str, now_ms: int) -> None:
        server, address = served.server, served.address
        assert address is not None
        self._moved.append(server.slot)
        text = describe_address(server, before, address, source)
        self.throttle.log(_moves(server), LogLevel.NOTICE, text, now_ms, more="changes of its IP")
        if before is None:
            self._remaining.forget()
            self._log_return(served, source, now_ms)

    def _log_return(self, served: Served, source: str, now_ms: int) -> None:
        """Log the return of a server; the lines of one with another record are limited."""
        replaced, served.replaced = served.replaced, False
        server = served.server
        subject = _returns(server)
        for level, line in describe_return(server, served.name, source):
            if replaced:
                self.throttle.log(subject, level, line, now_ms, more="lines about its records")
            else:
                self._log(level, line)

    def _log_loss(self, server: ResolvedServer, cause: Cause, loss: Loss) -> None:
        self.losers[server.backend_index] = server
        for level, text in describe_loss(server, cause, loss):
            self._log(level, text)


def _moves(server: ResolvedServer) -> str:
    """The subject of the lines about its address."""
    return f"{server.backend_name}/{server.server_name}"


def _returns(server: ResolvedServer) -> str:
    """The subject of the lines about its return with another record."""
    return f"Server {server.backend_name}/{server.server_name}"


def _words(cause: Cause) -> str:
    return cause.name.lower().replace("_", " ")
