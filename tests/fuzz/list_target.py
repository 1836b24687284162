"""A generated run over files of lists and maps, and over what is looked up in them.

    python -m tests.fuzz.list_target SECONDS [SEED]

A file is held against its lines: it is wrong at the first line that is wrong by itself, and a text
is found in it exactly where it is found in one of them. Ends with another status than 0 where that
does not hold.
"""

from __future__ import annotations

import random
import re

from proxy.config.lines.rules.lists import ListReader
from proxy.config.model.lists import ListUse
from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.rules import ACCEPTED, REJECTED, Condition, Term
from proxy.config.text.messages import ConfigError
from proxy.rules.program import Conditions, Seen
from shm.segment import Segment
from shm.shape import Shape
from tests.fuzz.timed import remember, run

ROUND = 100  # files between two looks at the clock
POOL_MAX = 600  # lines that are changed again
LINES_MAX = 12
TEXTS = 6  # that are looked up in each
WITHOUT_PATTERNS = (Matcher.FOUND, Matcher.BOOL)
MATCHERS = [each for each in Matcher if each not in (*WITHOUT_PATTERNS, Matcher.REGM)]
SEGMENT = Segment.create(
    Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
)
LINES = [
    *(b"", b"#", b"# a", b" # a", b"a", b" a", b"a ", b"a\r", b"\ta b", b"A", b"b # c", b"\0a"),
    *(b"a.b", b".b", b"b.", b"a/b", b"/a/", b"a?b", b"a:80", b"ab", b"aab", b"\xff\xfe", b"-1"),
    *(b"0", b"1", b"1:", b":1", b"0:9", b"9:0", b"eq", b"gt 1", b"1.2", b"1.2:", b"1.2:2.0"),
    *(b"99999999999999999999", b"-9223372036854775808:", b"00", b"0a", b"0aFF", b"0aF"),
    *(b"192.0.2.1", b"192.0.2.0/24", b"192.0.2.1/255.255.255.0", b"0.0.0.0/0", b"::/0", b"::1"),
    *(b"2001:db8::/32", b"2001:db8::1/128", b"::ffff:192.0.2.0/120", b"192.0.2.0/33", b"1.2.3"),
    *(b"^a", b"a$", b"(a", b"a|b", b"[a-", b"(a+)+$", b"\\", b".*", b"a{2}", b"(?i)A", b"(?<n>a)"),
]
BYTES = b"ab./:?#AB \t\r\0019-2\xff"


def changed(chance: random.Random, line: bytes) -> bytes:
    """A line with some bytes changed, dropped, added or doubled."""
    found = bytearray(line)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(4)
        if kind == 0 and at < len(found):
            found[at] = chance.choice((chance.choice(BYTES), chance.randrange(256)))
        elif kind == 1 and at < len(found):
            del found[at]
        elif kind == 2:
            found[at:at] = found[: chance.choice((1, 2, 40, 300))]
        else:
            found.insert(at, chance.choice(BYTES))
    return bytes(found).replace(b"\n", b"")[:1_000]


def read(use: ListUse, content: bytes, *, valued: bool) -> bytes | int:
    """The packed list; the number of the first line that is wrong."""
    reader = ListReader(use, valued=valued)
    try:
        reader.add_content(content, "f")
    except ConfigError as error:
        said = str(error)
    else:
        return reader.packed()
    place = re.search(r"at line (\d+) of file 'f'$", said)
    assert place is not None, (use, content, said)
    return int(place[1])


def finds(use: ListUse, packed: bytes, text: bytes) -> bool:
    """Whether the text is found, as the value of a header."""
    head = ("req.fhdr", use.matcher, ACCEPTED, REJECTED)
    term = Term(*head, text="x", numbers=(0,), lists=(0,))
    seen = Seen(b"GET", b"/", b"HTTP/1.1", b"x:" + text + b"\r\n")
    return Conditions(SEGMENT, [Condition((term,))], (packed,)).holds(0, seen)


def hold(chance: random.Random, use: ListUse, lines: list[bytes], *, valued: bool) -> None:
    """One file against its lines."""
    whole = read(use, b"\n".join(lines), valued=valued)
    each = [read(use, line, valued=valued) for line in lines]
    wrong = [number for number, one in enumerate(each, 1) if isinstance(one, int)]
    if isinstance(whole, int):
        assert wrong[:1] == [whole], (use, lines, whole, wrong)
        return
    assert not wrong, (use, lines, wrong)
    if valued:
        return
    singles = [one for one in each if isinstance(one, bytes)]
    for _ in range(TEXTS):
        text = changed(chance, chance.choice(lines)).strip(b" \t\r").replace(b"\r", b"")
        among = [number for number, one in enumerate(singles) if finds(use, one, text)]
        assert finds(use, whole, text) == bool(among), (use, lines, text, among)


def play(chance: random.Random) -> int:
    """Some files, each read in one of all ways."""
    for _ in range(ROUND):
        lines = [changed(chance, chance.choice(LINES)) for _ in range(chance.randint(1, LINES_MAX))]
        remember(chance, LINES, chance.choice(lines), POOL_MAX)
        matcher, valued = chance.choice(MATCHERS), chance.random() < 0.3
        gives = chance.choice(list(MapType)) if valued else None
        if valued:
            lines = [line + chance.choice((b"", b" ", b" v", b" 1")) for line in lines]
        dotted = matcher is Matcher.INT and chance.random() < 0.3
        use = ListUse(matcher, chance.random() < 0.3, dotted, gives)
        hold(chance, use, lines, valued=valued)
    return ROUND


if __name__ == "__main__":
    run(play)
