"""What reading a configuration has to say: severity, place and text, collected and never printed.

Owns the four severities and the list that all parts of the reader add to. Knows nothing of process
ids or terminals: `report` turns messages into lines.
"""

from __future__ import annotations

import enum

import msgspec

from proxy.config.model.settings import Origin


class Severity(enum.Enum):
    """How grave a message is; an ALERT means that there are no settings."""

    ALERT = "ALERT"
    WARNING = "WARNING"
    NOTICE = "NOTICE"
    DIAG = "DIAG"  # shown with -dD only


class Message(msgspec.Struct, frozen=True):
    """One thing to say; `origin` is None when it concerns no single line."""

    severity: Severity
    text: str
    origin: Origin | None = None


class ConfigError(Exception):
    """A line that cannot be accepted; whoever reads the line turns it into an ALERT."""


class Messages:
    """All messages of one load, in the order in which they were found."""

    def __init__(self) -> None:
        """Start without messages."""
        self._messages: list[Message] = []
        self._alerted: set[Origin | None] = set()

    def add(self, severity: Severity, text: str, origin: Origin | None = None) -> None:
        """Note one message."""
        self._messages.append(Message(severity, text, origin))
        if severity is Severity.ALERT:
            self._alerted.add(origin)

    def alert(self, text: str, origin: Origin | None = None) -> None:
        """Note an error: loading goes on to find the others, but gives no settings."""
        self.add(Severity.ALERT, text, origin)

    def warning(self, text: str, origin: Origin | None = None) -> None:
        """Note something that HAProxy warns of, too (fatal with -dW and zero-warning)."""
        self.add(Severity.WARNING, text, origin)

    def notice(self, text: str, origin: Origin | None = None) -> None:
        """Note something worth knowing that is no reason to stop."""
        self.add(Severity.NOTICE, text, origin)

    def all(self) -> tuple[Message, ...]:
        """Every message so far."""
        return tuple(self._messages)

    @property
    def failed(self) -> bool:
        """True once there was an ALERT."""
        return bool(self._alerted)

    def failed_at(self, origin: Origin) -> bool:
        """Whether there was an ALERT at this line."""
        return origin in self._alerted
