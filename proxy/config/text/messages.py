"""The messages of a load: severity, origin and text, collected and not printed.

Owns the four severities and the list. Knows no process id and no terminal: `report` renders
messages as lines.
"""

from __future__ import annotations

import enum

import msgspec

from proxy.config.model.settings import Origin


class Severity(enum.Enum):
    """The severity of a message; after an ALERT there are no settings."""

    ALERT = "ALERT"
    WARNING = "WARNING"
    NOTICE = "NOTICE"
    DIAG = "DIAG"  # shown with -dD only


class Message(msgspec.Struct, frozen=True):
    """One message; `origin` is None when it concerns no single line."""

    severity: Severity
    text: str
    origin: Origin | None = None


class ConfigError(Exception):
    """A line with an error; `Sections.read` makes an ALERT of it."""


class Messages:
    """All messages of one load, in the order in which they were found."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._alerted: set[Origin | None] = set()

    def add(self, severity: Severity, text: str, origin: Origin | None = None) -> None:
        """Add a message."""
        self._messages.append(Message(severity, text, origin))
        if severity is Severity.ALERT:
            self._alerted.add(origin)

    def alert(self, text: str, origin: Origin | None = None) -> None:
        """Add an error: the load goes on to find others, but returns no settings."""
        self.add(Severity.ALERT, text, origin)

    def warning(self, text: str, origin: Origin | None = None) -> None:
        """Add a warning, as HAProxy does (fatal with -dW and zero-warning)."""
        self.add(Severity.WARNING, text, origin)

    def notice(self, text: str, origin: Origin | None = None) -> None:
        """Add a notice, which no option makes fatal."""
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
