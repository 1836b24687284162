"""Orders about acls and maps: HAProxy's answers and errors, one by one, at each level."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.control.test_tables_like_haproxy import at
from tests.support.common import free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.generated import sample

CONFIGURATION = """global
  stats socket {folder}/s level admin
  stats socket {folder}/operator level operator
  stats socket {folder}/user level user
defaults
  mode tcp
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:PORT
  tcp-request inspect-delay 5s
  acl local src 127.0.0.0/8 10.0.0.1
  acl files src -f FILES/ips 5.6.7.8
  acl names req.payload(0,0),lower -i -m str -f FILES/names
  acl beginnings req.payload(0,0) -m beg -f FILES/names
  acl ports dst_port ge 80 443 lt 5 gt 7
  acl regular req.payload(0,0) -m reg ^a b$
  acl there req.payload(0,0) -m found
  acl numbered dst_port -u 100 1:5
  acl both req.payload(0,0) -m str -M -f FILES/texts
  acl bytes req.payload(0,0) -m bin 00ff
  acl unused req.payload(0,0) -m sub x
  tcp-request content set-var(sess.a) req.payload(0,0),map(FILES/texts,d)
  tcp-request content set-var(sess.b) req.payload(0,0),map_beg(FILES/texts)
  tcp-request content set-var(sess.c) dst_port,map_int(FILES/ranges,5)
  tcp-request content set-var(sess.d) req.payload(0,0),map_str_int(FILES/counts)
  tcp-request content set-var(sess.e) src,map_ip_ip(FILES/networks)
  tcp-request content reject if {{ src -f FILES/ips }} {{ src 9.9.9.9 }} !LOCALHOST
  tcp-request content reject if local files names beginnings bytes
  tcp-request content reject if ports regular there numbered both
  tcp-request content set-var(sess.f) req.payload(0,0),map_regm(FILES/groups)
  use_backend %[src,map_ip(FILES/backends)] if {{ src 5.5.5.5 }}
  default_backend b
backend b
  server s 127.0.0.1:1
"""
FILES = {
    "texts": "a 1\nb 2\nb 3\nc two words \n",
    "ips": "10.0.0.0/8\n10.1.0.0/16\n# c\n1.2.3.4\n::1\n",
    "names": "foo.example\n bar\n",
    "ranges": "1:5 x\n7 y\n",
    "counts": "x 5\n",
    "networks": "10.0.0.0/8 1.2.3.4\n::1 ::2\n",
    "backends": "127.0.0.0/8 b\n",
    "groups": "^x(.) <\\1>\n",
}
ORDERS = (
    *("show acl", "show map", "show acl #0", "show acl IPS", "show map TEXTS", "show acl #5"),
    *(
        "show acl #6",
        "show acl #100",
        "show map nosuch",
        "show acl #99",
        "show map #x",
        "show map #",
    ),
    *("show map IPS", "show acl TEXTS", "show map @1", "show acl @0", "show map RANGES"),
    *(
        f"get acl #0 {value}"
        for value in ("127.0.0.1", "127.0.0.x", "10.0.0.1", "::ffff:127.0.0.1")
    ),
    *(f"get acl IPS {value}" for value in ("10.1.2.3", "10.2.2.3", "::1", "::2", "abc")),
    *(f"get acl NAMES {value}" for value in ("FOO.example", "foo.example", "bar2", "Bar2", "x")),
    *(f"get map TEXTS {value}" for value in ("a", "bz", "zz", "c")),
    *(f"get map RANGES {value}" for value in ("3", "7", "99", "x", "0x3")),
    *("get map COUNTS x", "get map NETWORKS 10.1.2.3", "get map NETWORKS ::1", "get acl #100 3"),
    *("get acl", "get acl IPS", "get map", "get map TEXTS", "get map nosuch x", "get acl nosuch x"),
    *("get map #99 x", "get acl TEXTS a", "get map IPS 1.2.3.4", "get acl BYTES 00ff"),
    *("add acl", "add acl IPS", "add acl IPS 9.9.9.9", "add acl IPS 9.9.9.9 x", "add acl #0 bad"),
    *("add acl IPS 1.2.3.4/40", "add acl IPS 300.1.1.1", "show acl IPS", "del acl IPS 9.9.9.9"),
    *("del acl IPS 9.9.9.9", "del acl IPS", "del acl", "del acl IPS #0x1", "del acl IPS #zz"),
    *(f"add acl #6 {value}" for value in ("x", "5:1", "1:2:3", "99999999999999999999", "lt", "-1")),
    *("add acl #6 9-", "show acl #6", "get acl #6 9", "get acl #6 6", "del acl #6 80:"),
    *("add acl nosuch a", "add map nosuch a b", "add map TEXTS", "add map TEXTS a"),
    *("add map TEXTS a 11", "show map TEXTS", "get map TEXTS a", "set map TEXTS a 22"),
    *(
        "show map TEXTS",
        "get map TEXTS a",
        "set map TEXTS zz 1",
        "set map TEXTS a",
        "set map TEXTS",
    ),
    *("set map #99 a 1", "set map TEXTS #0x1 5", "set map TEXTS b new more", "get map TEXTS b"),
    *("del map TEXTS a", "show map TEXTS", "get map TEXTS a", "del map TEXTS", "del map"),
    *(
        "add map COUNTS y notnum",
        "add map COUNTS y 12",
        "get map COUNTS y",
        "add map COUNTS z 12ab",
    ),
    *("set map COUNTS y 13", "get map COUNTS y", "show map COUNTS", "add map RANGES 5 v"),
    *("add map RANGES x v", "show map RANGES", "get map RANGES 5", "del map RANGES 1:5"),
    *("get map RANGES 5", "add map NETWORKS 9.0.0.0/8 x", "add map NETWORKS 9.0.0.0/8 ::9"),
    *("get map NETWORKS 9.1.1.1", "add acl TEXTS q", "add acl TEXTS q w", "add acl COUNTS q"),
    *("add map IPS 4.4.4.4 v", "show acl IPS", "get acl IPS 4.4.4.4", "get map IPS 4.4.4.4"),
    *("del map IPS 4.4.4.4", "del acl IPS 4.4.4.4", "del map nosuch x", "del acl nosuch x"),
    *("add map TEXTS <<\nk1 v1\nk2 v2 more\n", "show map TEXTS", "add map TEXTS <<\nk1\n"),
    *("add map @0 TEXTS <<\nk8 v8\n", "add map TEXTS k6 <<\nv7\n", "add acl IPS <<\n7.7.7.7\n"),
    *("set map TEXTS k8 <<\nv7 x\n", r"add map TEXTS k\ a va\ b", "show map TEXTS"),
    *("prepare map", "prepare map nosuch", "prepare map RANGES", "prepare map RANGES", "show map"),
    *("add map @1 RANGES 100 one", "add map @2 RANGES 200 two", "add map @3 RANGES 300 three"),
    *("add map @0 RANGES 1 zero", "add map @x RANGES 1 zero", "add map @ RANGES 1 zero"),
    *("show map @1 RANGES", "show map @2 RANGES", "show map @3 RANGES", "show map @0 RANGES"),
    *(f"show map @{'9' * digits} RANGES" for digits in (19, 20, 5_000)),
    *("show map RANGES", "get map RANGES 100", "clear map @2 RANGES", "show map @2 RANGES"),
    *("add map @2 RANGES 200 two", "set map RANGES 100 changed", "show map @1 RANGES"),
    *("commit map RANGES", "commit map @9 RANGES", "commit map @1", "commit map @1 nosuch"),
    *("commit map @2 RANGES", "show map", "show map @1 RANGES", "show map RANGES"),
    *("get map RANGES 200", "commit map @1 RANGES", "commit map @2 RANGES", "commit map @0 RANGES"),
    *("clear map RANGES", "show map RANGES", "clear map", "clear map nosuch", "clear map @1"),
    *("clear map @1 RANGES", "clear map @77 RANGES", "prepare acl IPS", "add acl @1 IPS 8.8.8.8"),
    *("get acl IPS 8.8.8.8", "del acl @1 IPS 8.8.8.8", "del acl IPS 8.8.8.8"),
    *("add acl @1 IPS 8.8.8.8", "add acl @1 IPS bad", "show acl @1 IPS", "commit acl @1 IPS"),
    *("show acl IPS", "show acl", "get acl IPS 8.8.8.8", "get acl IPS 10.1.1.1", "clear acl #0"),
    *("show acl #0", "add acl #0 1.1.1.1", "add acl @1 #0 1.1.1.1", "get acl #0 1.1.1.1"),
    *("prepare map IPS", "commit map @2 IPS", "clear map IPS", "prepare acl TEXTS"),
    *("show acl @1 TEXTS", "show acl @5 TEXTS", "show acl @5", "clear acl", "clear acl nosuch"),
    *("del acl #7 b$", "show acl #7", "get acl #7 xb", "get acl #7 ab", "clear acl #7"),
    *("get acl #7 ab", "prepare acl IPS x", "show acl @x IPS", "clear acl @0 IPS", "show acl IPS"),
    *("add map BACKENDS 9.9.9.9 b; add map BACKENDS 9.9.9.10 b; show map BACKENDS",),
    *(
        "get map BACKENDS 9.9.9.10",
        "get map BACKENDS 127.4.4.4",
        "add acl #10 0g",
        "add acl #10 0g1",
    ),
    *("add acl #10 AA", "get acl #10 aa", "show acl #10", "add acl #11 xyz", "get acl #11 axyzb"),
    *("add acl #7 ^c", "add acl #7 (", "get acl #7 cde", "show acl #7", "del acl #7 ^c"),
    *("get acl #7 cde", "get map GROUPS xy", r"add map GROUPS ^n(.*) N\\1", "get map GROUPS newy"),
    *("add map GROUPS ( x", "prepare map GROUPS", "add map @1 GROUPS ^z(.) v", "get map GROUPS zz"),
    *("commit map @1 GROUPS", "get map GROUPS zz", "get map GROUPS xy", "show map GROUPS"),
    *("set map GROUPS ^z(.) w", "add map GROUPS <<\n^p(.) \\1\n^q x\n", "show map GROUPS"),
)
LEVELS = (
    *("show acl #0", "show map TEXTS", "get map TEXTS b", "add acl IPS 3.3.3.3", "add acl"),
    *("add map TEXTS w w", "set map TEXTS w v", "set map", "del map TEXTS w", "clear map COUNTS"),
    *("prepare map COUNTS", "commit map @1 COUNTS", "show map"),
)


def plain(answer: str) -> list[str]:
    """Without addresses, counts that HAProxy loses, and lists of its own."""
    text = re.sub(r"0x[0-9a-f]+ ", "0x ", answer)
    text = re.sub(r"entry_cnt=\d+", "", text)
    text = re.sub(r"\d+ (?=\S+/backends)", "", text)  # HAProxy has read lists of its own before
    return [line for line in text.splitlines() if "httpclient" not in line]


def answers(
    name: str, folder: Path, files: Path, orders: Sequence[str], levels: Sequence[str] = ()
) -> Iterator[tuple[str, list[str]]]:
    names = {each.upper(): f"{files}/{each}" for each in FILES}

    def filled(order: str) -> str:
        return re.sub(r"\b[A-Z]{3,}\b", lambda word: names.get(word[0], word[0]), order)

    with ExitStack() as stack:
        text = CONFIGURATION.replace("FILES", str(files)).replace("PORT", str(free_port()))
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        for order in orders:
            told = plain(program.ask(filled(order)))
            yield order, [line.replace(str(folder / name), "") for line in told]
        for level in levels:
            for order in LEVELS:
                told = plain(at(program, level, filled(order)))
                yield f"{level}: {order}", [line.replace(str(folder / name), "") for line in told]


def differences(tmp_path: Path, orders: Sequence[str], levels: Sequence[str] = ()) -> list[str]:
    """Where the two programs do not answer alike."""
    files = tmp_path / "files"
    files.mkdir()
    for name, content in FILES.items():
        (files / name).write_text(content)
    ours = answers("millrace", tmp_path, files, orders, levels)
    theirs = answers("haproxy", tmp_path, files, orders, levels)
    return [
        f"{order}\n  ours:   {our}\n  theirs: {their}"
        for (order, our), (_, their) in zip(list(ours), list(theirs), strict=True)
        if our != their
    ]


@pytest.mark.slow
def test_orders_about_lists_are_answered_as_by_haproxy(tmp_path: Path) -> None:
    wrong = differences(tmp_path, ORDERS, ("operator", "user"))
    assert not wrong, "\n".join(wrong)


LISTS: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {  # kind, keys, values
    "TEXTS": ("map", ("a", "ab", "b", "ba", "abc", "c"), ("1", "2", "two", "v")),
    "RANGES": ("map", ("1", "1:5", "3:4", "7", "x", "9:"), ("x", "y")),
    "COUNTS": ("map", ("x", "y", "z", "xy"), ("1", "-2", "30")),
    "NETWORKS": (
        "map",
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::1", "bad"),
        ("1.2.3.4", "::2"),
    ),
    "IPS": ("acl", ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::1", "2001:db8::/32"), ()),
    "NAMES": ("acl", ("foo", "fo", "Bar", "bar.x", "o"), ()),
    "#0": ("acl", ("127.0.0.0/8", "127.0.0.1", "9.9.9.9"), ()),
    "#7": ("acl", ("^a", "b$", "[a-c]x", "a b"), ()),
    "GROUPS": ("map", ("^a(.)", "b$", "(b|c)x", "(.)(.)"), ("1", r"\\1", "v")),
    "#12": ("acl", ("a", "ab", "x", "bx"), ()),
}


def generated(chance: random.Random, count: int) -> Iterator[str]:
    """Orders that mostly make sense; each list is looked at after each change of it."""
    for _ in range(count):
        name = chance.choice(list(LISTS))
        kind, keys, values = LISTS[name]
        key, version = chance.choice(keys), chance.randrange(4)
        value = f" {chance.choice(values)}" if values else ""
        at_version = chance.choice(("", "", f"@{version} "))
        orders = [
            *(f"add {kind} {at_version}{name} {key}{value}",) * 4,
            *(f"del {kind} {name} {key}",) * 2,
            f"prepare {kind} {name}",
            f"commit {kind} @{version} {name}",
            f"clear {kind} {at_version}{name}",
        ]
        if values:
            orders += [f"set map {name} {key}{value}"] * 2
            lines = "".join(
                f"{chance.choice(keys[:4])} {chance.choice(values)}\n" for _ in range(3)
            )
            orders.append(f"add map {at_version}{name} <<\n{lines}")
        yield chance.choice(orders)
        yield f"show {kind} {chance.choice(('', f'@{version} '))}{name}"
        for asked in chance.sample(keys, 2):
            yield f"get {kind} {name} {asked.partition('/')[0].partition(':')[0] or asked}"
    yield "show map"
    yield "show acl"


@pytest.mark.slow
def test_generated_orders_are_answered_as_by_haproxy(tmp_path: Path, seed: int) -> None:
    wrong = differences(tmp_path, list(generated(random.Random(seed), sample(250, 4_000))))
    assert not wrong, "\n".join(wrong[:5])
