"""How grave a log line is, and what takes such lines: for every process, hence in the lowest room.

Knows no line and no target.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class LogLevel(enum.IntEnum):
    """Severities of syslog (RFC 5424 section 6.2.1), named as in the configuration."""

    EMERG = 0
    ALERT = 1
    CRIT = 2
    ERR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


Log = Callable[[LogLevel, str], None]
Lines = list[tuple[LogLevel, str]]
