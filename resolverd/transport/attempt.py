"""One question to one nameserver, and what a way to a nameserver can do. Only types."""

from __future__ import annotations

from typing import Protocol

import msgspec

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer, Question
from resolverd.transport.udp import OpenQuery


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One question to one nameserver, for the run with this key.

    `extended` tells that it has an OPT record, `refused` that it was sent with one before. Over TCP
    after a cut reply, `held` is what that was worth; `instead_of` is the doubted question over UDP.
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
        """Whether it goes over TCP though the nameserver is asked over UDP."""
        return self.held is not None or self.instead_of is not None


class Open(Protocol):
    """An attempt that may still be answered."""

    owner: Attempt

    def close(self) -> None:
        """What answers it from now on is late."""

    def renew(self) -> None:
        """Let no other question go the same way."""


class Way(Protocol):
    """A way to a nameserver."""

    def read(self) -> None:
        """Take all that has come."""

    def close(self) -> None:
        """Close its descriptors."""
