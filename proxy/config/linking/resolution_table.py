"""Which names are resolved while running: one row for each section, name and family (S8).

A name that goes through a search list (M13) is another one than the same name as written, and one
whose families are merged (M3) another than one that is served from one family at a time.

Owns the grouping of servers under resolutions. An SRV label has one row for each section, whatever
its servers prefer: what they prefer concerns the targets. Pure.
"""

from __future__ import annotations

import msgspec

from proxy.config.text.names import is_service_name, normalize_host_name
from resolverd.config import NO_ROW, Family, ResolutionSettings, ResolvedServer

Key = tuple[str, str, Family, bool, bool]


def preferred_family(prefer: Family, accepted: tuple[Family, ...]) -> Family:
    """The family asked for first: the only accepted one, or what `resolve-prefer` says (S12)."""
    return accepted[0] if len(accepted) == 1 else prefer


class ResolutionTable:
    """Rows in the order in which the file first needs them."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        """Start without rows; `families` are those that DNS may be asked for."""
        self._families = families
        self._rows: dict[Key, list[ResolvedServer]] = {}
        self._indices: dict[Key, int] = {}
        self._addressed: list[ResolutionSettings] = []

    def add(
        self, section: str, host: str, prefer: Family, server: ResolvedServer, *, search: bool
    ) -> int:
        """Let a name feed a server; the index of its row, a new one if nobody needed it before.

        `search` does not reach SRV labels and names with a dot at their end. `all_families` of the
        server reaches the targets of its label, and nothing where one family is accepted.
        """
        preferred = preferred_family(prefer, self._families)
        if is_service_name(host):
            server = msgspec.structs.replace(server, preferred=preferred)
            preferred = preferred_family(Family.IPV6, self._families)
        searched = search and not is_service_name(host) and not host.endswith(".")
        merges = server.all_families and not is_service_name(host) and len(self._families) > 1
        key = (section, normalize_host_name(host), preferred, searched, merges)
        index = self._indices.setdefault(key, len(self._indices))
        self._rows.setdefault(key, []).append(server)
        return index

    def add_addressed(
        self, section: str, prefer: Family, server: ResolvedServer, *, search: bool
    ) -> None:
        """Let a server that has an address be fed by a name as soon as an operator orders one."""
        preferred = preferred_family(prefer, self._families)
        merges = server.all_families and len(self._families) > 1
        self._addressed.append(
            ResolutionSettings(
                NO_ROW, section, "", preferred, (server,), search=search, all_families=merges
            )
        )

    def addressed(self) -> tuple[ResolutionSettings, ...]:
        """What names of such servers would have in common with a row, in the order of the file."""
        return tuple(self._addressed)

    def settings(self) -> tuple[ResolutionSettings, ...]:
        """All rows, by index."""
        return tuple(
            ResolutionSettings(
                self._indices[section, name, preferred, search, merges],
                section,
                name,
                preferred,
                servers=tuple(servers),
                search=search,
                all_families=merges,
            )
            for (section, name, preferred, search, merges), servers in self._rows.items()
        )
