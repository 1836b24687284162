"""A section's nameservers after a change of resolv.conf, and their rows. Pure.

Owns the rows of `parse-resolv-conf` in the segment: a nameserver that stays keeps its row; a new
one takes the row that has been free for longest, so that late replies of a former nameserver are
not counted for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from resolverd.config import Followed, Nameserver, ResolversSection
from resolverd.resolv_conf.file import ResolvConf
from shm.states import NameState


class NameserverNames(Protocol):
    """The names of nameservers in the segment (shm/names.pyx)."""

    def nameserver(self, nameserver: int) -> NameState:
        """The name of the nameserver in a row ("": free), and since when."""


def rows_of(followed: Followed, names: NameserverNames) -> dict[int, NameState]:
    """The rows of a file with their names in the segment."""
    last = followed.first_row + followed.rows
    return {row: names.nameserver(row) for row in range(followed.first_row, last)}


def fixed_nameservers(section: ResolversSection) -> tuple[Nameserver, ...]:
    """The nameservers of the section's own lines."""
    followed = section.followed
    if followed is None:
        return section.nameservers
    return tuple(each for each in section.nameservers if each.index not in followed)


def in_use(section: ResolversSection, names: NameserverNames) -> tuple[Nameserver, ...]:
    """The present nameservers of a section: its own, and those named in the segment."""
    if section.followed is None:
        return section.nameservers
    rows = rows_of(section.followed, names)
    found = (Nameserver(state.name, state.name, index=row) for row, state in rows.items())
    return (*fixed_nameservers(section), *(each for each in found if each.name))


def follow(
    section: ResolversSection, found: ResolvConf, rows: Mapping[int, NameState]
) -> ResolversSection:
    """The section after the file was read; nameservers beyond the last row are left out."""
    followed = section.followed
    assert followed is not None, f"resolvers '{section.name}' follow no file"
    fixed = fixed_nameservers(section)
    own = {each.name for each in fixed}
    wanted = [each for each in found.nameservers if each not in own][: followed.rows]
    kept = {state.name: row for row, state in rows.items() if state.name in wanted}
    free = iter(
        sorted(
            (row for row in rows if row not in kept.values()),
            key=lambda row: (bool(rows[row].name), rows[row].stamp_ms, row),
        )
    )
    placed = {each: kept[each] if each in kept else next(free) for each in wanted}
    taken = sorted(placed, key=placed.__getitem__)
    return msgspec.structs.replace(
        section,
        nameservers=(*fixed, *(Nameserver(each, each, index=placed[each]) for each in taken)),
        search=found.search if followed.search else section.search,
        ndots=found.ndots if followed.ndots else section.ndots,
    )
