"""The questions of one `resolvers` section on their way to its nameservers, and the replies back.

Owns which attempts are open and the counting of everything that arrives (the names of HAProxy's
`show resolvers`). Knows no state machine, no server and no segment: it is given a function to count
with and one to hand answers to.

All nameservers are asked at once, each under an id and on a socket of its own choice. Every attempt
stays open until it is answered or its run is closed, so an answer slower than `timeout retry` still
comes in. What does not match an open attempt is counted and ends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from resolverd.answer import (
    HEADER_BYTES,
    Answer,
    QueryType,
    Question,
    Status,
    build_query,
    read_reply,
)
from resolverd.config import Nameserver, ResolversSection
from resolverd.config import Transport as Carrier
from resolverd.nameserver_sockets import NameserverSockets, OpenQuery

Count = Callable[[int, str], None]  # a nameserver's row in the segment, a counter's name


class Receiver(Protocol):
    """Who asked, by key."""

    def answered(self, key: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        """A nameserver has answered an open attempt; `query_type` is what it was asked."""


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One question to one nameserver, for the run with this key."""

    key: int
    nameserver: Nameserver
    question: Question


class Transport:
    """Asks the nameservers of one section over UDP."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        section: ResolversSection,
        count: Count,
        receiver: Receiver,
    ) -> None:
        """Raises OSError for an address that is none, ValueError for a `tcp@` nameserver."""
        self._section = section
        self._count = count
        self._receiver = receiver
        self._open: dict[int, list[OpenQuery[Attempt]]] = {}
        self._sockets: dict[str, NameserverSockets[Attempt]] = {}
        for nameserver in section.nameservers:
            if nameserver.transport is not Carrier.UDP:
                raise ValueError(f"{section.name}/{nameserver.name}: only UDP is spoken here")
            self._sockets[nameserver.name] = self._open_sockets(loop, nameserver)

    def _open_sockets(
        self, loop: asyncio.AbstractEventLoop, nameserver: Nameserver
    ) -> NameserverSockets[Attempt]:
        def on_datagram(wire: bytes, attempt: Attempt | None) -> bool:
            return self._receive(nameserver, wire, attempt)

        def on_error() -> None:
            self._count(nameserver.index, "snd_error")

        return NameserverSockets(loop, nameserver, on_datagram, on_error)

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        """Send the question to all nameservers; the names of those it could not be sent to."""
        wire = build_query(question, 0, self._section.accepted_payload_size)
        queries = self._open.setdefault(key, [])
        unsent = []
        for nameserver in self._section.nameservers:
            attempt = Attempt(key, nameserver, question)
            try:
                queries.append(self._sockets[nameserver.name].send(wire, attempt, now_ms))
            except OSError:  # no route, nobody there, no descriptor, no buffer: as if lost
                self._count(nameserver.index, "snd_error")
                unsent.append(nameserver.name)
            else:
                self._count(nameserver.index, "sent")
        return unsent

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        """The time-out of an attempt has passed at these; it stays open all the same."""
        for query in self._open.get(key, ()):
            nameserver = query.owner.nameserver
            if nameserver.name in nameservers:
                self._sockets[nameserver.name].renew(query)
        for nameserver in self._section.nameservers:
            if nameserver.name in nameservers:
                self._count(nameserver.index, "timeout")

    def close_run(self, key: int) -> None:
        """The run has ended: what still answers it is late."""
        for query in self._open.pop(key, ()):
            self._sockets[query.owner.nameserver.name].close_query(query)

    def close(self) -> None:
        """Close all sockets."""
        for sockets in self._sockets.values():
            sockets.close()

    def _receive(self, nameserver: Nameserver, wire: bytes, attempt: Attempt | None) -> bool:
        """Count a datagram; True if it answers the attempt, which is handed on then."""
        if len(wire) > self._section.accepted_payload_size:
            self._count(nameserver.index, "too_big")
            return False
        if len(wire) < HEADER_BYTES:
            self._count(nameserver.index, "invalid")
            return False
        if attempt is None:
            self._count(nameserver.index, "outdated")
            return False
        answer = read_reply(wire, attempt.question)
        if answer is None:
            self._count(nameserver.index, "invalid")
            return False
        self._count(nameserver.index, answer.status.counter)
        if answer.aliased and answer.status is Status.VALID:
            self._count(nameserver.index, "cname")
        self._receiver.answered(attempt.key, nameserver.name, attempt.question.query_type, answer)
        return True
