"""Generated chains of converters: the values that HAProxy and Millrace make, and what they match."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.generated import sample

pytestmark = pytest.mark.slow
CHAINS, CONDITIONS, VALUES_EACH = 120, 120, 6  # of a file
RUNS = sample(1, 42)
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
{rules}
"""
TEXT, NUMBER, ADDRESS, BYTES = "text", "number", "address", "bytes"
FETCHES = {
    **dict.fromkeys(("req.hdr(x-v)", "req.fhdr(x-v)", "hdr(x-v,1)", "path"), TEXT),
    "method": BYTES,
    "src": ADDRESS,
    "req.hdr_cnt(x-v)": NUMBER,
    "always_true": "truth",
}
PARTS = ("field({i},{d})", "field({i},{d},{c})", "word({i},{d})", "word({i},{d},{c})")
ARITHMETIC = ("add({n})", "mul({n})", "mod({n})", "neg", "cpl", "xor({n})")
HASHES = ("djb2", "sdbm", "wt6", "crc32", "crc32c")
XXHASHES = ("xxh32", "xxh32({n})", "xxh64", "xxh64({n})")
CONVERTERS = {  # what each takes and gives
    **dict.fromkeys(("upper", "lower", *PARTS), (TEXT, TEXT)),
    **dict.fromkeys(("bytes({n})", "bytes({n},{n})"), (BYTES, BYTES)),
    **dict.fromkeys(("hex", "base64"), (BYTES, TEXT)),
    "b64dec": (TEXT, BYTES),
    "length": (TEXT, NUMBER),
    **dict.fromkeys(ARITHMETIC, (NUMBER, NUMBER)),
    **dict.fromkeys(("not", "bool", "even", "odd"), (NUMBER, "truth")),
    **dict.fromkeys(("ipmask({m})", "ipmask({m},{s})"), (ADDRESS, ADDRESS)),
    "ipmask(255.255.240.0,ffff:ffff::)": (ADDRESS, ADDRESS),
    **dict.fromkeys((*HASHES, *(f"{name}(1)" for name in HASHES), *XXHASHES), (BYTES, NUMBER)),
    **dict.fromkeys(("ltrim(a.)", "rtrim(b.c)", "cut_crlf", "host_only"), (TEXT, TEXT)),
    **dict.fromkeys(("url_dec", "url_dec({b})", "url_enc", "url_enc(query)"), (TEXT, TEXT)),
    **dict.fromkeys(("regsub(a,b)", "regsub([a-c.]+,-,g)", "regsub(A*,/,gi)"), (TEXT, TEXT)),
    r'regsub("(.)(.)","\2\1\x41",g)': (TEXT, TEXT),
    "hex2i": (TEXT, NUMBER),
    "iif(yes,no)": ("truth", TEXT),
    "htonl": (NUMBER, BYTES),
    **dict.fromkeys(("be2dec(:,{e})", "be2dec(,{e},{b})", "be2dec(--,1)"), (BYTES, TEXT)),
    **dict.fromkeys(("be2hex", "be2hex(:,{e})", "be2hex(,{e},{b})"), (BYTES, TEXT)),
    "ub64enc": (BYTES, TEXT),
    "ub64enc,ub64dec": (BYTES, BYTES),
    **dict.fromkeys(("sha1", "sha2", "sha2(224)", "sha2(384)", "sha2(512)"), (BYTES, BYTES)),
    **dict.fromkeys(("digest(SHA256)", "hmac(sha384,a2V5)", "hmac(sha1,)"), (BYTES, BYTES)),
    "utime(%Y-%m-%d %H:%M:%S)": (NUMBER, TEXT),
    "utime(<%j>,{n})": (NUMBER, TEXT),
    "ltime(%c,86400)": (NUMBER, TEXT),
}
NEVER = {
    *(("truth", ADDRESS), (BYTES, NUMBER), (BYTES, ADDRESS)),
    *((ADDRESS, "truth"), (BYTES, "truth")),
}
VALUES = (
    *("a", "b", "a.b.c", ".a..b.", "A/b:c.D", "12", "-7x", "0", "1700000000", "aGVsbG8=", "YQ=="),
    *("YWI=", "YQ=", "Y===", "=", "YQ==YQ==", "A=BC", "10.1.2.3", "192.168.77.1", "::1", ""),
    *(
        "2001:db8:77::5",
        "::ffff:10.9.8.7",
        "2002:a01:203::5",
        "::10.1.2.3",
        "010.1.2.3",
        "10.1.2",
        "1.2.3.4:80",
    ),
    *("1.2.3.4.", "256.1.1.1", "  x ", "a,b,c", "9223372036854775807", "xyz" * 30, "....", "aaaa"),
    *("a%20b+c?d+e", "%41%2fx?+%zz", "1F", "0x1f", "Host:8080", "[::1]:80", "-_8", "80000000"),
    *("0123456789abcdef" * 3, "bbbbb", "\xe9\xff", "a.b.c.d.e.f", "1.2.3.4.5"),
)
WORDS = ("a", "b", "1", "0", "A", "a.b", "c", "10")
PATTERNS = {
    **dict.fromkeys(("str", "beg", "end", "sub", "dir", "dom"), WORDS),
    **dict.fromkeys(("int", "len"), ("0", "1", "0:9", ":7", "2:", "12")),
    "ip": ("10.0.0.0/8", "127.0.0.0/9", "::/64", "0.0.0.0/16", "2001:db8::/32", "192.168.0.0/16"),
}


class Case(NamedTuple):
    rule: int
    value: str


def becomes(given: str, wanted: str) -> bool:
    return (given, wanted) not in NEVER


def a_chain(chance: random.Random) -> tuple[str, str]:
    """A fetch and converters that take one another's samples, and the type of the last."""
    fetch = chance.choice((*FETCHES, *["req.hdr(x-v)"] * 12))
    chain, given = [fetch], FETCHES[fetch]
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        known = [n for n, (takes, _) in CONVERTERS.items() if becomes(given, takes)]
        if "ipmask" in chain[-1]:  # behind another one HAProxy takes the mapped address again
            known = [n for n in known if "ipmask" not in n]
        name = chance.choice(known)
        given = CONVERTERS[name][1]
        chain.append(
            name.format(
                i=chance.choice((1, 2, 3, -1, -2, -3)),
                d=chance.choice((".", "./", ":", "b", "=", "0123456789")),
                c=chance.choice((0, 1, 2, 3)),
                n=chance.choice((0, 1, 2, 3, 5, 40, 86400)),
                m=chance.choice((0, 1, 8, 17, 24, 31, 32)),
                s=chance.choice((0, 1, 16, 33, 64, 127, 128)),
                b=chance.choice((0, 1)),
                e=chance.choice((1, 2, 3, 8)),
            )
        )
    return ",".join(chain), given


def a_condition(chance: random.Random) -> str:
    chain, given = a_chain(chance)
    kinds = {"int": NUMBER, "ip": ADDRESS}
    method = chance.choice([m for m in PATTERNS if becomes(given, kinds.get(m, TEXT))])
    patterns = " ".join(chance.sample(PATTERNS[method], chance.randint(1, 3)))
    return f"'{chain}' -m {method} -- {patterns}"


def answers(port: int, cases: Sequence[Case]) -> Iterator[tuple[bytes, bytes]]:
    """Status and body for each case."""
    for rule, value in cases:
        head = f"GET /a.B/{rule} HTTP/1.1\r\nHost: h\r\nX-N: {rule}\r\nX-V: {value}\r\n"
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            client.sendall((head + "Connection: close\r\n\r\n").encode("latin-1"))
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        yield answer.split(b" ", 2)[1], answer.partition(b"\r\n\r\n")[2]


def compared(folder: Path, rules: Sequence[str], cases: Sequence[Case]) -> float:
    """The share of cases that HAProxy answers with 299, after all were found alike."""
    found: dict[str, list[tuple[bytes, bytes]]] = {}
    text = "\n".join(f"  http-request {rule}" for rule in rules)
    for program in PROGRAMS:
        port = free_port()
        written = CONFIGURATION.format(port=port, rules=text.replace("{", "{{").replace("}", "}}"))
        with one_program(PROGRAMS[program](), folder / program, written, {}):
            found[program] = list(answers(port, cases))
    wrong = [
        f"{rules[case.rule]}\n  {case.value!r}: HAProxy {theirs}, Millrace {ours}"
        for case, ours, theirs in zip(cases, found["millrace"], found["haproxy"], strict=True)
        if ours != theirs
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:10])
    return sum(status == b"299" for status, _ in found["haproxy"]) / len(cases)


@pytest.mark.parametrize("run", range(RUNS))
def test_chains_make_the_same_values(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    rules = [
        f"return status 299 content-type text/plain lf-string '<%[{a_chain(chance)[0]}]>' "
        f"if {{ req.hdr(x-n) {number} }}"
        for number in range(CHAINS)
    ]
    cases = [Case(n, v) for n in range(CHAINS) for v in chance.sample(VALUES, VALUES_EACH)]
    assert compared(tmp_path, rules, cases) == 1


@pytest.mark.parametrize("run", range(RUNS))
def test_chains_match_the_same_patterns(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    rules = [
        f"return status 299 if {{ req.hdr(x-n) {number} }} {{ {a_condition(chance)} }}"
        for number in range(CONDITIONS)
    ]
    cases = [Case(n, v) for n in range(CONDITIONS) for v in chance.sample(VALUES, VALUES_EACH)]
    assert 0.1 < compared(tmp_path, [*rules, "return status 298"], cases) < 0.9
