"""The names that are resolved while running: one row for each section, name and family (S8).

A name with a search list (M13) has another row than the same name as written, and one whose
families are merged (M3) another than one with one family at a time.

Owns the grouping of servers under resolutions. An SRV label has one row for each section, whatever
the preference of its servers, which concerns the targets. Pure.
"""

from __future__ import annotations

import msgspec

from proxy.config.text.names import is_service_name, normalize_host_name
from resolverd.config import NO_ROW, Family, ResolutionSettings, ResolvedServer

Key = tuple[str, str, Family, bool, bool]


def preferred_family(prefer: Family, accepted: tuple[Family, ...]) -> Family:
    """The family asked for first: the only accepted one, or that of `resolve-prefer` (S12)."""
    return accepted[0] if len(accepted) == 1 else prefer


class ResolutionTable:
    """Rows in the order of their first server in the file."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        """`families` are those that DNS may be asked for."""
        self._families = families
        self._rows: dict[Key, list[ResolvedServer]] = {}
        self._indices: dict[Key, int] = {}
        self._addressed: list[ResolutionSettings] = []

    def add(
        self, section: str, host: str, prefer: Family, server: ResolvedServer, *, search: bool
    ) -> int:
        """Add a server to the row of its name, a new one if there is none; returns the row's index.

        `search` has no effect on SRV labels and names with a dot at their end. `all_families` of
        the server applies to the targets of its label, and has no effect with one accepted family.
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
        """Add a server with an address, for which an operator may order a name."""
        preferred = preferred_family(prefer, self._families)
        merges = server.all_families and len(self._families) > 1
        self._addressed.append(
            ResolutionSettings(
                NO_ROW, section, "", preferred, (server,), search=search, all_families=merges
            )
        )

    def addressed(self) -> tuple[ResolutionSettings, ...]:
        """The settings for ordered names of such servers, in the order of the file."""
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
