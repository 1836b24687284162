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


_RENAMED = re.compile(r"renamed (\S+) -> (\S+)")
_AGAIN = re.compile(r"server (\S+)/(\S+), renamed at run time, is (\S+) again")  # by a reload


class _Order(NamedTuple):
    words: tuple[str, ...]  # servers by the names that they have now
    changes: tuple[str, ...]  # as `weight 10 -> 20`
    by: str


class Authors:
    """The orders among the events, the newest first."""

    def __init__(self, ring: EventRing, directory: Directory) -> None:
        """`directory` finds the servers that orders name by their numbers."""
        self._orders = list(_orders(ring, directory))

    def of(self, *words: str, what: str = "") -> str:
        """The client of the last order that has these words and changed this, and when; or ""."""
        for order in self._orders:
            changed = not what or any(each.startswith(f"{what} ") for each in order.changes)
            if changed and all(word in order.words for word in words):
                return order.by
        return ""


def _orders(ring: EventRing, directory: Directory) -> Iterator[_Order]:
    names = _NamesMeant()
    for event in sorted(EventReader(ring).events(), key=lambda each: -each.sequence):
        again = _AGAIN.fullmatch(event.text)
        if again is not None:
            names.before_reload(*again.groups())
            continue
        found = _ORDER.fullmatch(event.text)
        if found is None:
            continue
        by = f"{found[1]}, {moment(event.time_us / 1_000_000)}"
        changes = tuple((found[3] or "").split(", "))
        words = found[2].split()
        renamed = _RENAMED.fullmatch(changes[0])
        if renamed is not None:
            backend = _named(words[2], directory).partition("/")[0]
            words[2] = names.before_order(backend, *renamed.groups())
        now = (_named(names.now(word), directory) for word in words)  # numbers: as it is now
        yield _Order(tuple(now), changes, by)


class _NamesMeant:
    """Which server a name meant, at an event after which all were seen already."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}  # the name that it has now; empty: no server
        self._again: dict[str, str] = {}  # by the name before a reload, that after it

    def now(self, name: str) -> str:
        """The name that the server has now."""
        self._settle()
        return self._now.get(name, name)

    def before_order(self, backend: str, former: str, name: str) -> str:
        """An order renamed a server: the name that it had."""
        self._settle()
        before, after = f"{backend}/{former}", f"{backend}/{name}"
        self._now[before], self._now[after] = self._now.get(after, after), ""
        return before

    def before_reload(self, backend: str, former: str, name: str) -> None:
        """One reload gave several servers the names of the files."""
        self._again[f"{backend}/{former}"] = f"{backend}/{name}"

    def _settle(self) -> None:
        found = {before: self._now.get(after, after) for before, after in self._again.items()}
        self._now.update(dict.fromkeys(self._again.values(), "") | found)
        self._again.clear()


def _named(word: str, directory: Directory) -> str:
    """`<backend>/<server>` of `#3/#1`."""
    if "#" in word and "/" in word:
        with suppress(CommandError):
            proxy, server = directory.server(word)
            return f"{proxy.name}/{server.name}"
    return word
