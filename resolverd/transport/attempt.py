"""One question to one nameserver, the protocols of its carriers and of who asks. Only types."""

from __future__ import annotations

from typing import Protocol

import msgspec

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer, QueryType, Question
from resolverd.resolution.repetition import RepeatReceiver
from resolverd.transport.udp import OpenQuery


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One question to one nameserver, for the run of the name with this key.

    `extended`: it has an OPT record; `refused`: the nameserver has refused it with one. Over TCP,
    `held` is the answer of the cut reply, `instead_of` the doubted question over UDP.
    """

    key: int
    nameserver: Nameserver
    question: Question
    extended: bool
    refused: bool = False
    held: Answer | None = None
    instead_of: OpenQuery[Attempt] | None = None

    @property
    def is_second(self) -> bool:
        """Whether it is sent over TCP though the nameserver is asked over UDP."""
        return self.held is not None or self.instead_of is not None


class Open(Protocol):
    """An open attempt."""

    owner: Attempt

    def close(self) -> None:
        """Close the attempt: later answers to it are outdated."""

    def renew(self) -> None:
        """Send no other question on its socket or connection."""


class Carrier(Protocol):
    """The sockets or the connections towards one nameserver."""

    def read(self) -> None:
        """Read all that has arrived."""

    def close(self) -> None:
        """Close its descriptors."""


class Receiver(RepeatReceiver, Protocol):
    """The names that ask, by key."""

    def answered(self, key: int, nameserver: str, query_type: QueryType, answer: Answer) -> None:
        """A nameserver has answered an open attempt for `query_type`."""

    def lost(self, key: int, nameserver: str, query_type: QueryType) -> None:
        """A sent question did not reach the nameserver."""

    def fetching(self, key: int, query_type: QueryType) -> None:
        """A cut answer is asked for again over TCP, which may take `timeout retry`."""
