"""By whom orders were given that are still in force, as far as the list of events goes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from proxy.control.command import CommandError
from proxy.control.commands.events.show_events import EventReader
from proxy.control.commands.process.facts import moment
from proxy.control.rows.directory import Directory
from shm.events import EventRing

_ORDER = re.compile(r"order of (.*?): (.*?)(?: \[(.*)\])?")


class _Order(NamedTuple):
    words: tuple[str, ...]
    changes: tuple[str, ...]  # as `weight 10 -> 20`
    by: str


class Authors:
    """The orders among the events, the newest first."""

    def __init__(self, ring: EventRing, directory: Directory) -> None:
        """`directory` finds the servers that orders name by their numbers."""
        found = _orders(ring, directory)
        self._orders = sorted(found, key=lambda each: -each[0])

    def of(self, *words: str, what: str = "") -> str:
        """The client of the last order that has these words and changed this, and when; or ""."""
        for _, order in self._orders:
            changed = not what or any(each.startswith(f"{what} ") for each in order.changes)
            if changed and all(word in order.words for word in words):
                return order.by
        return ""


def _orders(ring: EventRing, directory: Directory) -> Iterator[tuple[int, _Order]]:
    for event in EventReader(ring).events():
        found = _ORDER.fullmatch(event.text)
        if found is not None:
            by = f"{found[1]}, {moment(event.time_us / 1_000_000)}"
            changes = tuple((found[3] or "").split(", "))
            words = tuple(_named(word, directory) for word in found[2].split())
            yield event.sequence, _Order(words, changes, by)


def _named(word: str, directory: Directory) -> str:
    """`<backend>/<server>` of `#3/#1`."""
    if "#" in word and "/" in word:
        with suppress(CommandError):
            proxy, server = directory.server(word)
            return f"{proxy.name}/{server.name}"
    return word
