"""One map that changes, compared in several ways, and what look-ups have to find in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.config.model.matching import Matcher
from proxy.config.model.rules import (
    ACCEPTED,
    REJECTED,
    Condition,
    Converter,
    FormatPart,
    Term,
    Value,
)
from proxy.lists.changing.area import ListArea
from proxy.lists.changing.editor import ListEditor
from proxy.lists.pack import Packer
from proxy.rules.formats import Formats
from proxy.rules.program import Conditions, Seen
from shm.segment import Segment

NOTHING = b"-"
WINDOW = 8 << 20


class Row(NamedTuple):
    """A pattern that is there."""

    order: int
    key: bytes
    value: bytes
    version: int


def _network(key: bytes) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(key.decode(), strict=False)


def _within(key: bytes, text: bytes) -> bool:
    low, _, high = key.partition(b":")
    return int(low) <= int(text) <= int(high or low)


MATCHES: dict[Matcher, Callable[[bytes, bytes], bool]] = {
    Matcher.STR: lambda key, text: key == text,
    Matcher.BEG: lambda key, text: text.startswith(key),
    Matcher.END: lambda key, text: text.endswith(key),
    Matcher.SUB: lambda key, text: key in text,
    Matcher.IP: lambda key, text: ipaddress.IPv4Address(text.decode()) in _network(key),
    Matcher.INT: _within,
}
FINER: dict[Matcher, Callable[[bytes], int]] = {  # what is better than to be earlier
    Matcher.BEG: len,
    Matcher.IP: lambda key: _network(key).prefixlen,
}


def wanted(rows: Sequence[Row], matcher: Matcher, text: bytes) -> bytes:
    """What a walk over all patterns finds."""
    finer = FINER.get(matcher, lambda key: 0)
    found = [row for row in rows if MATCHES[matcher](row.key, text)]
    return min(found, key=lambda row: (-finer(row.key), row.order)).value if found else NOTHING


class ChangingMap:
    """A map in an area of its own: the editor as control has it, and look-ups as workers do."""

    def __init__(
        self,
        segment: Segment,
        matchers: Sequence[Matcher],
        lines: Sequence[bytes] = (),
        window: int = WINDOW,
    ) -> None:
        self.segment = segment
        self.matchers = tuple(matchers)
        packed = [_filled(each.value, lines).packed() for each in matchers]
        numbers = tuple(range(len(packed)))
        self.area = ListArea(packed, [(numbers, window)], 1)
        self.area.join(0)
        self.editor = self.successor()
        self.editor.begin(
            [_filled(name, lines, each=True) for name in ("str", *(m.value for m in matchers))],
            valued=True,
        )

    def successor(self) -> ListEditor:
        """What another control takes the map over with."""
        return ListEditor(self.area, 0, self._packers())

    def _packers(self) -> list[Packer]:
        texts = Packer("str", gives="str", each=True)
        return [texts, *(Packer(m.value, asked=False, each=True) for m in self.matchers)]

    def add(self, key: bytes, value: bytes, version: int) -> None:
        """Add a pattern, which is not published."""
        packers = self._packers()
        packers[0].add_entry(key, value)
        for packer in packers[1:]:
            packer.open(key)
            assert packer.read() is None
        self.editor.add(packers, version, valued=True)

    def lookups(self) -> Lookups:
        """What a worker has."""
        return Lookups(self.segment, self.area, self.matchers)


def _filled(method: str, lines: Sequence[bytes], *, each: bool = False) -> Packer:
    packer = Packer(method, gives="str", asked=False, each=each)
    packer.open(b"\n".join(lines))
    assert packer.read() is None
    return packer


class Lookups:
    """Looks texts up in the map, for their values, and whether there is one."""

    def __init__(self, segment: Segment, area: ListArea, matchers: Sequence[Matcher]) -> None:
        self._formats = Formats(
            segment, [(_part(number, m),) for number, m in enumerate(matchers)], lists=area
        )
        self._conditions = Conditions(
            segment, [Condition((_term(number, m),)) for number, m in enumerate(matchers)], area
        )

    def value(self, number: int, text: bytes) -> bytes | None:
        """What the map gives, compared in one of its ways."""
        return self._formats.answer(number, _seen(text))

    def holds(self, number: int, text: bytes) -> bool:
        """Whether it has a pattern."""
        return self._conditions.holds(number, _seen(text))


def _seen(text: bytes) -> Seen:
    return Seen(b"GET", b"/", b"HTTP/1.1", b"x:" + text + b"\r\n")


def _part(number: int, matcher: Matcher) -> FormatPart:
    looked_up = Converter("map", NOTHING.decode(), numbers=(1,), matcher=matcher, patterns=number)
    return FormatPart(value=Value("req.fhdr", text="x", numbers=(0,), converters=(looked_up,)))


def _term(number: int, matcher: Matcher) -> Term:
    return Term(*("req.fhdr", matcher, ACCEPTED, REJECTED), text="x", numbers=(0,), lists=(number,))
