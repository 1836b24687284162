"""What a health check says to a server after its connect, as settings (manual section 4.2).

Owns the steps of `tcp-check` and the dialects that have an option of their own. What a dialect
sends and how it judges is known where checks are made, not here.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from shm.check_status import CheckStatus


class Match(enum.StrEnum):
    """How `tcp-check expect` looks for its pattern.

    Settings that were sent as bytes have plain strings: compare with ==, not with `is`.
    """

    STRING = "string"
    REGEX = "rstring"
    BINARY = "binary"
    BINARY_REGEX = "rbinary"  # over the hexadecimal form, in capitals


class ConnectStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check connect`; None: the check's own address or port.

    `number` counts the rules of the file from 1, comments too; `comment` is the rule's own, or that
    of the last `tcp-check comment` before it.
    """

    number: int
    comment: str = ""
    port: int | None = None
    address: str | None = None  # numeric
    address_port: int | None = None  # behind the address, in force without `port`
    default: bool = False  # as the server's line says it: a PROXY header among others
    send_proxy: bool = False
    linger: bool = False  # the connection is closed in order, not by a reset


class SendStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check send` and `send-binary`."""

    number: int
    data: bytes
    comment: str = ""


class ExpectStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check expect`; the numbers of CheckStatus, and None for the usual ones."""

    number: int
    match: Match
    pattern: bytes
    comment: str = ""
    negated: bool = False
    bytes_min: int | None = None  # `min-recv`: from so many on, what is there is judged
    ok_status: int = CheckStatus.L7OK
    error_status: int = CheckStatus.L7RSP
    timeout_status: int = CheckStatus.L7TOUT
    on_success: str = ""
    on_error: str = ""


Step = ConnectStep | SendStep | ExpectStep


class TcpCheck(msgspec.Struct, frozen=True, tag=True):
    """`option tcp-check` with rules; without any, a check only connects.

    The first step connects if any does.
    """

    steps: tuple[Step, ...]

    @property
    def names_ports(self) -> bool:
        """Whether each connection has a port of its own, so that servers need none."""
        connects = [step for step in self.steps if isinstance(step, ConnectStep)]
        return bool(connects) and all(step.port or step.address_port for step in connects)

    @property
    def has_patterns(self) -> bool:
        """Whether a step looks for a regular expression."""
        return any(
            isinstance(step, ExpectStep) and step.match in (Match.REGEX, Match.BINARY_REGEX)
            for step in self.steps
        )


class RedisCheck(msgspec.Struct, frozen=True, tag=True):
    """`option redis-check`."""

    names_ports: ClassVar[bool] = False
    has_patterns: ClassVar[bool] = False


CheckRules = TcpCheck | RedisCheck
