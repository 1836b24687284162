"""Packed lists: what is found in them is what a walk over all patterns finds."""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.matching import Matcher
from proxy.config.model.rules import ACCEPTED, REJECTED, Condition, Term
from proxy.lists.pack import Packer
from proxy.lists.regex import Regexes
from proxy.rules.program import Conditions, Seen
from shm.segment import Segment
from shm.shape import Shape

LINES = 100_000
BYTES_A_LINE_MAX = 64
DELIMITERS = {"dir": rb"[/?]", "dom": rb"[/?.:]"}
WALKS: dict[str, Callable[[bytes, bytes], bool]] = {
    "str": lambda text, pattern: text == pattern,
    "beg": bytes.startswith,
    "end": bytes.endswith,
    "sub": lambda text, pattern: pattern in text,
}


@pytest.fixture(scope="module")
def segment() -> Segment:
    return Segment.create(
        Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
    )


def packed(method: str, patterns: list[bytes], *, insensitive: bool = False) -> bytes:
    packer = Packer(method, insensitive=insensitive)
    packer.open(b"\n".join(patterns))
    assert packer.read() is None
    return packer.packed()


def of_regexes(*expressions: bytes, insensitive: bool = False) -> bytes:
    packer = Packer("reg", insensitive=insensitive)
    for expression in expressions:
        packer.add_text(expression)
    return packer.packed()


class Lookup:
    """Looks texts up in one list, as the value of a header."""

    def __init__(self, segment: Segment, method: str, content: bytes) -> None:
        head = ("req.fhdr", Matcher(method), ACCEPTED, REJECTED)
        term = Term(*head, text="x", numbers=(0,), lists=(0,))
        self._conditions = Conditions(segment, [Condition((term,))], (content,))

    def finds(self, text: bytes) -> bool:
        return self._conditions.holds(0, Seen(b"GET", b"/", b"HTTP/1.1", b"x:" + text + b"\r\n"))


def has_word(text: bytes, pattern: bytes, method: str) -> bool:
    sides = DELIMITERS[method]
    word = re.sub(rb"^%s+|%s+$" % (sides, sides), b"", pattern)
    found = rb"(?:^|%s)%s(?=$|%s)" % (sides, re.escape(word), sides)
    return bool(word) and re.search(found, text, re.DOTALL) is not None


TEXTS = st.binary(min_size=1, max_size=6).map(lambda text: bytes(b"ab./:?AB"[n % 8] for n in text))


@pytest.mark.parametrize("insensitive", [False, True])
@pytest.mark.parametrize("method", [*WALKS, *DELIMITERS])
@given(patterns=st.lists(TEXTS, max_size=40), texts=st.lists(TEXTS, min_size=1, max_size=12))
def test_texts_are_found_where_a_walk_finds_them(
    segment: Segment,
    method: str,
    insensitive: bool,
    patterns: list[bytes],
    texts: list[bytes],
) -> None:
    lookup = Lookup(segment, method, packed(method, patterns, insensitive=insensitive))
    fold = bytes.lower if insensitive else bytes
    for text in (*texts, b"".join(texts), *patterns):
        found = any(
            WALKS[method](fold(text), fold(pattern))
            if method in WALKS
            else has_word(fold(text), fold(pattern), method)
            for pattern in patterns
        )
        assert lookup.finds(text) == found, (text, patterns)


@given(
    ranges=st.lists(st.tuples(st.integers(-20, 60), st.integers(0, 9)), max_size=20),
    number=st.integers(-25, 80),
)
def test_numbers_are_found_where_a_walk_finds_them(
    segment: Segment, ranges: list[tuple[int, int]], number: int
) -> None:
    packer = Packer("int")
    for low, more in ranges:
        packer.add_range(low, low + more)
    lookup = Lookup(segment, "int", packer.packed())
    assert lookup.finds(b"%d" % number) == any(low <= number <= low + n for low, n in ranges)


@given(
    networks=st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=20),
    more=st.lists(st.tuples(st.integers(0, 255), st.integers(120, 128)), max_size=20),
    last=st.integers(0, 255),
)
def test_addresses_are_found_where_a_walk_finds_them(
    segment: Segment,
    networks: list[tuple[int, int]],
    more: list[tuple[int, int]],
    last: int,
) -> None:
    lines = [f"192.0.2.{each}/{bits}" for each, bits in networks]
    lines += [f"2001:db8::{each:x}/{bits}" for each, bits in more]
    lookup = Lookup(segment, "ip", packed("ip", [line.encode() for line in lines]))
    for text in (f"192.0.2.{last}", f"2001:db8::{last:x}"):
        address = ipaddress.ip_address(text)
        found = any(address in ipaddress.ip_network(line, strict=False) for line in lines)
        assert lookup.finds(text.encode()) == found


def test_a_long_list_has_each_of_its_lines_in_few_bytes(segment: Segment, seed: int) -> None:
    chance = random.Random(seed)
    numbers = chance.sample(range(1 << 32), LINES)
    lists = {
        "str": [b"host%d.example.com" % number for number in numbers],
        "end": [b".%d.example" % number for number in numbers],
        "ip": [str(ipaddress.IPv4Address(number)).encode() for number in numbers],
        "int": [b"%d" % number for number in numbers],
        "sub": [b"<%d>" % number for number in numbers[:100]],
    }
    for method, lines in lists.items():
        content = packed(method, lines)
        assert len(content) < BYTES_A_LINE_MAX * len(lines) + 200
        lookup = Lookup(segment, method, content)
        assert all(lookup.finds(line) for line in lines[:20_000])
        others = Lookup(segment, method, packed(method, lines[len(lines) // 2 :]))
        assert not any(others.finds(line) for line in lines[: len(lines) // 2][:1_000])


@pytest.mark.parametrize("method", ["int", "ip", "str", "bin", "sub", "dom"])
@given(content=st.binary(max_size=300))
def test_any_file_is_read_to_its_end(method: str, content: bytes) -> None:
    packer = Packer(method)
    packer.open(content)
    lines = []
    while (line := packer.read()) is not None:
        lines.append((packer.line, line))
    assert all(0 < number <= content.count(b"\n") + 1 and text for number, text in lines)
    assert [number for number, _ in lines] == sorted({number for number, _ in lines})
    assert len(packer) + len(lines) <= content.count(b"\n") + 1
    assert packer.packed()


def test_an_expression_that_is_too_dear_is_not_found() -> None:
    regexes = Regexes(of_regexes(rb"^(\w+)+$", rb"(*NO_JIT)^(a+)+$", b"^b"))
    assert regexes.match(b"a" * 40)
    assert regexes.dear == 0
    assert not regexes.match(b"a" * 40 + b"-")
    assert regexes.dear == 2
    assert regexes.match(b"b")


@pytest.mark.parametrize("insensitive", [False, True])
def test_expressions_regard_case_unless_they_are_told_not_to(*, insensitive: bool) -> None:
    regexes = Regexes(of_regexes(rb"^\S+A$", insensitive=insensitive))
    assert regexes.match(b"bA")
    assert regexes.match(b"ba") == insensitive
    assert not regexes.match(b" A")


def test_a_list_without_expressions_is_refused(segment: Segment) -> None:
    with pytest.raises(ValueError, match="without expressions"):
        Regexes(packed("sub", [b"a"]))
    term = Term("path", Matcher.STR, ACCEPTED, REJECTED)
    with pytest.raises(IndexError):
        Conditions(segment, [Condition((term,))])
