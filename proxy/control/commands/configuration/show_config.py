"""`show config` and `show config diff`: the configuration in force, and how the files differ.

The lines are those that were loaded, without secrets; beside them stands what was ordered since,
and by whom. `diff` reads the files as they are now, with the rights of this process. Where these do
not suffice `millrace -c --against` reads them with those of the operator: it gets what runs from
`show config json`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import msgspec

from proxy.config.model.settings import Origin
from proxy.config.outline.outcome import ADDED, ENTRIES, Comparison, RunningOrder
from proxy.config.outline.patterns import digests_of
from proxy.config.outline.secrets import without_secrets
from proxy.config.outline.sections import OutlinedSection, sections_of, written
from proxy.config.outline.telling import told_difference, told_order
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.configuration.aside import Aside
from proxy.control.commands.configuration.comparing import ConfiguredFiles
from proxy.control.commands.configuration.orders import RunningOrders
from proxy.control.commands.lists.orders import Lists
from proxy.control.commands.process.facts import moment
from proxy.control.rows.report import Report
from proxy.runtime import now_ms

USAGE = "'show config' expects nothing, 'diff', 'json' or the name of a section."
SAME = "# the files say what the program was loaded from"
UNCHANGED = "# nothing was changed at run time"


class ShowConfig:
    """The commands about the configuration."""

    def __init__(self, report: Report, lists: Lists) -> None:
        self._report = report
        self._lists = lists
        self._files = ConfiguredFiles(report)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        operator = Level.OPERATOR
        return [
            Command(
                ("show", "config"),
                "[diff|json|<section>]",
                "the configuration in force and orders since; how files differ from both",
                operator,
                self.show,
            ),
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show config [diff|json|<section>]`."""
        if words[1:]:
            raise CommandError(USAGE)
        if words == ["diff"]:
            return self._diff()
        return self._json() if words == ["json"] else self._lines(words)

    @property
    def loaded(self) -> float:
        """When, in seconds since 1970."""
        age_ms = now_ms() - self._report.runtime.segment.created_ms
        return time.time() - age_ms / 1_000

    def _head(self, orders: list[RunningOrder]) -> str:
        reloads = self._report.runtime.segment.reload_generation
        return (
            f"# loaded {moment(self.loaded)}, generation {reloads}; changed at run time: "
            f"{len(orders)}\n"
        )

    def _lines(self, names: list[str]) -> Iterator[Piece]:
        """All sections, or those of one name."""
        orders = RunningOrders(self._report, self._lists)
        yield from orders.look()
        shown = [
            section
            for section in sections_of(self._report.runtime.kept.lines()).values()
            if not names or names[0] in (section.key.name, section.key.kind)
        ]
        added = [
            order
            for order in orders.found
            if order.what == ADDED and not order.server
            if not names or names[0] in order.section.split()
        ]
        if names and not (shown or added):
            raise CommandError("No such section.")
        yield self._head(orders.found)
        for section in shown:
            yield from _section_text(section, orders.found)
        for order in added:
            yield from _added_text(order, orders.found)
        if not names:
            yield from (
                f"# {order.section}: {order.text}\n"
                for order in orders.found
                if order.what == ENTRIES
            )

    def _json(self) -> Iterator[Piece]:
        """For programs: a `Running`, whose lines come in portions."""
        orders = RunningOrders(self._report, self._lists)
        yield from orders.look()
        head = {
            "loaded": self.loaded,
            "generation": self._report.runtime.segment.reload_generation,
            "orders": orders.found,
            "lists": digests_of(self._report.settings.references),
        }
        yield msgspec.json.encode(head).decode().removesuffix("}") + ',"lines":['
        separator = ""
        for line in map(without_secrets, self._report.runtime.kept.lines()):
            row = (line.origin.file, line.origin.line, line.words)
            yield separator + msgspec.json.encode(row).decode()
            separator = ",\n"
        yield "]}\n"

    def _diff(self) -> Iterator[Piece]:
        """What differs between the files, what was loaded from them, and what was ordered."""
        orders = RunningOrders(self._report, self._lists)
        yield from orders.look()
        wrong: list[str] = []
        comparing = Aside(lambda: self._files.compared(orders.found, wrong, wrong))
        yield comparing
        result = comparing.result()
        yield self._head(orders.found)
        yield from diff_text(result)
        yield from (f"# cannot be read: {text}\n" for text in wrong)


def _section_text(section: OutlinedSection, orders: Iterable[RunningOrder]) -> Iterator[str]:
    """A section as a file may have it, with what was ordered in comments."""
    own = [order for order in orders if order.section == str(section.key)]
    beside: dict[Origin, list[RunningOrder]] = {}
    for order in own:
        if order.server and order.what != ADDED:
            beside.setdefault(order.origin, []).append(order)
    origin = section.header.origin
    yield f"{written(section.header.words)}  # {origin.file}:{origin.line}\n"
    yield from (f"    # now: {order.text}\n" for order in own if not order.server)
    for line in section.lines:
        yield f"    {written(without_secrets(line).words)}\n"
        yield from (f"    # now: {order.text}\n" for order in beside.pop(line.origin, ()))
    yield from _added_servers(own)
    yield from (f"    # now: {order.text}\n" for group in beside.values() for order in group)


def _added_text(backend: RunningOrder, orders: Iterable[RunningOrder]) -> Iterator[str]:
    """A backend that no file has, as a file may have it."""
    own = [each for each in orders if each.section == backend.section and each is not backend]
    yield f"{backend.section} {backend.now}{_by(backend)}\n"
    yield from (f"    # now: {each.text}\n" for each in own if not each.server)
    yield from _added_servers(own)
    yield from (f"    # now: {each.text}\n" for each in own if each.server and each.what != ADDED)


def _added_servers(orders: Iterable[RunningOrder]) -> Iterator[str]:
    for order in orders:
        if order.what == ADDED and order.server:
            yield f"    server {order.now}{_by(order)}\n"


def _by(order: RunningOrder) -> str:
    return f"  # added by {order.by}" if order.by else "  # added"


def diff_text(result: Comparison) -> Iterator[str]:
    """Everything that differs, a line each."""
    same = not result.differences and not result.patterns
    yield SAME + "\n" if same else "# changed in the files since then:\n"
    yield from (f"{told_difference(result, each)}\n" for each in result.differences)
    yield from (f"{title}: the file has changed\n" for title in result.patterns)
    yield UNCHANGED + "\n" if not result.orders else "# changed at run time:\n"
    yield from (f"{told_order(result, *each)}\n" for each in result.orders)
