"""Which names are resolved while running: one row for each section, name and family (S8).

Owns the grouping of servers under resolutions. Pure.
"""

from __future__ import annotations

from proxy.config.names import normalize_host_name
from resolverd.config import Family, ResolutionSettings, ResolvedServer

Key = tuple[str, str, Family]


def preferred_family(prefer: Family, accepted: tuple[Family, ...]) -> Family:
    """The family asked for first: the only accepted one, or what `resolve-prefer` says (S12)."""
    return accepted[0] if len(accepted) == 1 else prefer


class ResolutionTable:
    """Rows in the order in which the file first needs them."""

    def __init__(self) -> None:
        """Start without rows."""
        self._rows: dict[Key, list[ResolvedServer]] = {}
        self._indices: dict[Key, int] = {}

    def index_of(self, section: str, host: str, preferred: Family) -> int:
        """The row of a name; a new one if nobody needed it before."""
        key = (section, normalize_host_name(host), preferred)
        if key not in self._indices:
            self._indices[key] = len(self._indices)
            self._rows[key] = []
        return self._indices[key]

    def add(self, section: str, host: str, preferred: Family, server: ResolvedServer) -> None:
        """Let a server be fed by a row that exists."""
        self._rows[section, normalize_host_name(host), preferred].append(server)

    def settings(self) -> tuple[ResolutionSettings, ...]:
        """All rows, by index."""
        return tuple(
            ResolutionSettings(self._indices[key], *key, servers=tuple(servers))
            for key, servers in self._rows.items()
        )
