"""A comparison in lines of text: the lines of `show config diff`, and groups of them for `-c`.

The groups answer what is asked before a reload: which sections, servers and sockets come and go,
which limits change, and what of the orders that were given at run time is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from proxy.config.outline.compare import SERVERS, Difference, LineChange, subject_of
from proxy.config.outline.heirs import DEFAULTS, parents_of, reached, told_heirs
from proxy.config.outline.outcome import Comparison, Fate, RunningOrder
from proxy.config.outline.sections import OutlinedSection, SectionKey

LIMITS = (
    *("backlog", "fd-hard-limit", "fullconn", "maxconn", "maxconnrate", "maxpipes", "maxsessrate"),
    *("maxsslconn", "nbproc", "nbthread", "rate-limit", "spare-servers", "ulimit-n"),
)
NOTHING = "a reload would change nothing"
_ANY_ADDRESS = re.compile(r"^(?:ipv4@)?(?:\*|0\.0\.0\.0)?:")


def told_difference(comparison: Comparison, difference: Difference, fate: str = "") -> str:
    """`<file>:<line>: <section>: <what happened>`; of `defaults` also for which sections."""
    if difference.section.kind == DEFAULTS and difference.subject:
        gone = difference.change is LineChange.REMOVED
        sections = comparison.old if gone else comparison.new
        about = (difference.section, difference.subject)
        fate = told_heirs(list(reached(sections, parents_of(sections), *about)))
    origin, change = difference.origin, difference.change
    sign = f"{change.value} " if change in (LineChange.ADDED, LineChange.REMOVED) else ""
    place = f"{origin.file}:{origin.line}: {difference.section}: "
    return place + sign + difference.text + (f"; {fate}" if fate else "")


def told_order(comparison: Comparison, order: RunningOrder, fate: Fate) -> str:
    """The same of an order, with what a reload does to it."""
    place = comparison.place(order)
    where = f"{place.file}:{place.line}: " if place.line else ""
    return f"{where}{order.section}: {order.text}; {fate.value}"


def told_groups(comparison: Comparison) -> Iterator[str]:
    """Everything that a reload would change, a line each, below the names of its groups."""
    groups: dict[str, list[str]] = {
        name: [] for name in ("sections", "servers", "sockets", "limits", "other lines")
    }
    for each in _with_members(comparison):
        group = _group(each)
        fate = _socket_fate(each, comparison) if group == "sockets" else ""
        groups[group].append(told_difference(comparison, each, fate))
    groups["files of patterns that have changed"] = comparison.patterns
    for lost, name in ((True, "lost"), (False, "not lost")):
        groups[f"orders at run time that are {name}"] = [
            told_order(comparison, order, fate)
            for order, fate in comparison.orders
            if (fate in (Fate.LOST, Fate.FILE)) is lost
        ]
    for name, lines in groups.items():
        if lines:
            yield f"{name}: {len(lines)}"
            yield from (f"  {line}" for line in lines)


def _group(difference: Difference) -> str:
    """Under which name a difference is told."""
    subject = difference.subject
    if not subject:
        return "sections"
    if subject[0] in (*SERVERS, "default-server"):
        return "servers"
    if subject[0] == "bind" or subject[:2] == ("stats", "socket"):
        return "sockets"
    return "limits" if subject[0] in LIMITS else "other lines"


def _with_members(comparison: Comparison) -> Iterator[Difference]:
    """All differences; of whole sections also their servers and sockets."""
    for each in comparison.differences:
        yield each
        if each.subject:
            continue
        added = each.change is LineChange.ADDED
        section = (comparison.new if added else comparison.old)[each.section]
        for line in section.lines:
            if line.words[0] in (*SERVERS, "bind"):
                yield Difference(
                    each.change,
                    each.section,
                    subject_of(line.words),
                    old=() if added else line.words,
                    new=line.words if added else (),
                    old_origin=line.origin,
                    new_origin=line.origin,
                )


def _socket_fate(difference: Difference, comparison: Comparison) -> str:
    """Which of the addresses of a line are opened, closed or taken over."""
    if difference.change not in (LineChange.ADDED, LineChange.REMOVED):
        return ""
    before, after = (_addresses(_listening(each)) for each in (comparison.old, comparison.new))
    own = _addresses([difference.old or difference.new])
    added = difference.change is LineChange.ADDED
    moves = own - before if added else own - after
    if not moves:
        return "stays open"
    return "opened" if added else "closed"


def _listening(sections: dict[SectionKey, OutlinedSection]) -> Iterator[tuple[str, ...]]:
    for section in sections.values():
        yield from (line.words for line in section.lines)


def _addresses(lines: Iterable[tuple[str, ...]]) -> set[str]:
    """Where lines listen."""
    found: set[str] = set()
    for words in lines:
        match words:
            case ("bind", addresses, *_):
                found.update(_ANY_ADDRESS.sub(":", each) for each in addresses.split(","))
            case ("stats", "socket", address, *_):
                found.add(address)
    return found
