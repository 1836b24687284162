"""The settings of logs; settings.py exports these names too."""

from __future__ import annotations

import msgspec

from proxy.config.model.rules import Value
from proxy.config.model.sockets import Endpoint
from shm.log_level import LogLevel


class LogTarget(msgspec.Struct, frozen=True):
    """One `log` line."""

    endpoint: Endpoint | None  # None: `stdout`/`stderr` are descriptors 1 and 2
    facility: int
    max_level: int = LogLevel.DEBUG
    min_level: int = LogLevel.EMERG
    format: str = "local"  # rfc3164, rfc5424, raw, short, timed, iso, priority, local
    descriptor: int | None = None
    length_max: int = 1_024  # bytes of one message
    sample: tuple[bool, ...] = ()  # which lines of each round of the access log; (): all


class LogItem(msgspec.Struct, frozen=True):
    """One part of a log format: a variable or a sample fetch by name, or literal text.

    `name` is 'text' (literal), 'constant' (a fetch with the value `text`), 'value' (an expression),
    or the name. A name with a `value` is what its converters begin with. `captures` are the numbers
    of the variables that `%hr` and `%hrl` tell.
    """

    name: str
    text: str = ""
    quote: bool = False
    hexadecimal: bool = False
    escape: bool = False
    value: Value | None = None
    captures: tuple[int, ...] = ()


class AccessLog(msgspec.Struct, frozen=True):
    """The access log of a frontend.

    Without `items` a connection is logged when it is accepted, in one fixed format. Without
    `targets` sessions only get their unique id.
    """

    targets: tuple[LogTarget, ...]
    tag: str
    items: tuple[LogItem, ...] = ()
    skip_null: bool = False  # `option dontlognull`
    skip_normal: bool = False  # `option dontlog-normal`
    separate_errors: bool = False  # `option log-separate-errors`
    as_soon: bool = False  # `option logasap`
    structured: tuple[LogItem, ...] = ()  # `log-format-sd`: data of RFC 5424
    failed: tuple[LogItem, ...] = ()  # `error-log-format`: clients without their PROXY header
    unique_id: tuple[LogItem, ...] = ()  # `unique-id-format`

    @property
    def every(self) -> tuple[LogItem, ...]:
        """The items of all formats."""
        return (*self.items, *self.structured, *self.failed, *self.unique_id)
