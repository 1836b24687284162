"""Generated lists, in lines and in files: what HAProxy finds in them, and what it refuses."""

from __future__ import annotations

import ipaddress
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from tests.rules.test_converters_against_haproxy import Case, compared
from tests.support.common import require_program
from tests.support.config.loading import load_text
from tests.support.generated import sample

pytestmark = pytest.mark.slow
LISTS, SAMPLES_EACH = 80, 12  # of a file
RUNS = sample(1, 63)
LETTERS = "ab./:?A-"
METHODS = ("str", "beg", "end", "sub", "dir", "dom", "bin", "int", "len", "ip")
FILES = {  # name -> content
    "text": b"# no\n\n  /lead\n/trail \n #hash\n/cr\r\n\t/tab\n  \n/nul\0x\n\0none\n/last",
    "numbers": b"1:5\n-3\n:7\n9:\n2-3\n",
    "digits": b"00fF\n\n41\n",
    "networks": b"10.0.0.0/8\n::1\n1.2.3.4\n2001:db8::/32\n::ffff:10.0.0.1/128\n",
    "empty": b"",
    "no_network": b"10.0.0.0/8\n\nfoo\n",
    "behind": b"10.0.0.0/8 \n",
    "comment": b"10.0.0.0/8 # c\n",
    "bits": b"10.0.0.0/33\n",
    "bits_6": b"::1/129\n",
    "slash": b"::1/\n",
    "no_number": b"1\nab\n",
    "operator": b"1:5\nlt 3\n",
    "lone": b"1:5\nlt\n",
    "large": b"1\n99999999999999999999\n",
    "reversed": b"5:1\n",
    "two": b"7 9\n",
    "both": b"1:2:3\n",
    "open": b"-\n",
    "odd": b"00ff\n0\n",
    "no_digit": b"00ff\n\n0g\n",
    "regexes": b"^/a\n\n(b)\n",
    "no_regex": b"^/a\n\n(\n",
}
LINES = (
    *("path -f text", "path -i -f text", "path -f text -i", "path -f text -f text /a", "path -f"),
    *("path -f empty", "path -m beg -f text -i /b", "path -f text -m beg /b", "path -f nothing"),
    *(
        "path -f text -z",
        "path -f text -u 7",
        "path -u x -f text",
        "path -f text -- -f",
        "path -f .",
    ),
    *("src_port -f numbers", "path -m len -f numbers", "path -m bin -f digits", "path -m bin 0"),
    *("path -m bin 0g", "path -m bin -i 00FF", "src -f networks", "src -n -f networks 1.2.3.4"),
    *(
        f"src -n -f {name}"
        for name in ("no_network", "behind", "comment", "bits", "bits_6", "slash")
    ),
    *(
        f"src_port -f {name}"
        for name in ("no_number", "operator", "lone", "large", "reversed", "two", "both", "open")
    ),
    *("path -m bin -f odd", "path -m bin -f no_digit", "path -m len -f no_number"),
    *("path -m reg -f regexes", "path -m reg -f no_regex", "path_reg a{2,1}", "path -m reg [ ^a"),
    *("src_port -1", "src_port -- :", "src_port 1--2", "src_port -- -5", "src_port 1x"),
)
MORE = (  # what only Millrace says
    r" \(host names are not resolved here\)| \(No such file or directory\)"
    "|: it ends before it begins"
)


def a_text(chance: random.Random, most: int = 5) -> str:
    return "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, most)))


def an_address(chance: random.Random) -> str:
    number = chance.choice((0x0A000000, 0x0A0000F0, 0x7F000000)) + chance.randrange(16)
    return chance.choice(
        (
            *(str(ipaddress.IPv4Address(number)),) * 3,
            f"::ffff:{ipaddress.IPv4Address(number)}",
            f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
            str(ipaddress.IPv6Address(0x20010DB8 << 96 | chance.randrange(8) << 60)),
            f"::{chance.randrange(4)}",
        )
    )


def a_network(chance: random.Random) -> str:
    address = an_address(chance)
    bits = chance.choice((26, 28, 29, 30, 31, 32)) + (96 if ":" in address else 0)
    return chance.choice((address, f"{address}/{bits}", f"{address}/{chance.randint(0, 32)}"))


def a_number(chance: random.Random) -> str:
    low, separator = chance.randint(0, 9), chance.choice(":-")
    ranges = (f"{low}{separator}{low + 2}", f"{separator}{low - 6}", f"{low + 6}{separator}")
    return chance.choice((f"{low}", f"{low}", *ranges)).replace("--", "-").replace(":-", ":")


def a_pattern(chance: random.Random, method: str) -> str:
    if method == "ip":
        return a_network(chance)
    if method in ("int", "len"):
        return a_number(chance)
    text = a_text(chance)
    if method in ("dir", "dom"):  # without a word, it is the byte behind the sample in HAProxy
        text = chance.choice((f"a{text}", f"{text}b", f"{text}A{text}"))
    return text.encode().hex() if method == "bin" else text


def a_value(chance: random.Random, method: str) -> str:
    kinds: dict[str, Callable[[random.Random], str]] = {"ip": an_address}
    if method == "int":
        return str(chance.randint(-5, 14))
    return kinds.get(method, lambda chance: a_text(chance, 14))(chance)


def a_list(chance: random.Random, folder: Path, number: int, method: str) -> str:
    """The condition for a list whose patterns are partly in files."""
    words = []
    for each in range(chance.randint(0, 2)):
        lines = [a_pattern(chance, method) for _ in range(chance.choice((1, 3, 12)))]
        path = folder / f"{number}.{each}"
        before = [chance.choice(("", " ", "#x\n")) for _ in lines]
        path.write_text("".join(map("{}{}\n".format, before, lines)))
        words += chance.choice((("-f", str(path)), ("-i", "-f", str(path))))
    if not words or chance.random() < 0.5:
        patterns = [a_pattern(chance, method) for _ in range(chance.randint(1, 4))]
        words += [*chance.choice(((), ("-i",))), "--", *(f"'{each}'" for each in patterns)]
    return f"req.fhdr(x-v) -m {method} {' '.join(words)}"


@pytest.mark.parametrize("run", range(RUNS))
def test_lists_have_the_same_patterns(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    methods = [METHODS[number % len(METHODS)] for number in range(LISTS)]
    rules = [
        f"return status 299 if {{ req.hdr(x-n) {number} }} {{ {a_list(chance, tmp_path, number, m)} }}"
        for number, m in enumerate(methods)
    ]
    cases = [
        Case(n, a_value(chance, m)) for n, m in enumerate(methods) for _ in range(SAMPLES_EACH)
    ]
    assert 0.1 < compared(tmp_path, [*rules, "return status 298"], cases) < 0.9


def configured(line: str) -> str:
    return (
        "defaults\n  mode http\n  timeout client 1s\n  timeout connect 1s\n  timeout server 1s\n"
        f"frontend f\n  bind 127.0.0.1:1\n  acl x {line}\n  http-request deny if x\n"
    )


@pytest.mark.parametrize("line", LINES)
def test_what_is_wrong_with_a_list_is_said_alike(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "h.cfg").write_text(configured(line))
    haproxy = (require_program("haproxy"), "-c", "-f", "h.cfg")
    judged = subprocess.run(haproxy, cwd=tmp_path, capture_output=True, text=True, check=False)
    begin = "error detected while parsing ACL 'x' : "
    theirs = [each for each in judged.stderr.splitlines() if begin in each]
    monkeypatch.chdir(tmp_path)
    messages = load_text(configured(line)).messages
    ours = [
        each.text for each in messages if each.severity is Severity.ALERT and begin in each.text
    ]
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        said = re.sub(MORE, "", our)
        assert their.partition(begin)[2].rstrip(".") == said.partition(begin)[2].rstrip(".")


def a_regex(chance: random.Random, depth: int = 2) -> str:
    """An expression over few letters, most often one that PCRE2 takes."""
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(
            ("a", "b", "A", ".", "[ab]", "[^a]", r"\w", r"\.", "[[:upper:]]", "^", "$")
        )
    one, other = a_regex(chance, depth - 1), a_regex(chance, depth - 1)
    return chance.choice(
        (
            *(f"{one}{other}", f"{one}{other}", f"({one})", f"(?:{one}|{other})", f"({one})+"),
            *(f"({one})?{other}", f"(?:{one}){{2}}", f"(?={one}){other}", f"(?i){one}", f"^{one}$"),
        )
    )


@pytest.mark.parametrize("run", range(RUNS))
def test_regular_expressions_match_the_same(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    rules = []
    for number in range(LISTS):
        expressions = [a_regex(chance) for _ in range(chance.choice((1, 1, 2)))]
        (tmp_path / str(number)).write_text("".join(f"{each}\n" for each in expressions))
        flags = chance.choice(("", "-i "))
        words = (
            f"-f {tmp_path / str(number)}"
            if chance.random() < 0.3
            else "-- " + " ".join(f"'{each}'" for each in expressions)
        )
        rules.append(
            f"return status 299 if {{ req.hdr(x-n) {number} }} "
            f"{{ req.fhdr(x-v) -m reg {flags}{words} }}"
        )
    cases = [Case(n, a_text(chance, 8)) for n in range(LISTS) for _ in range(SAMPLES_EACH)]
    assert 0.1 < compared(tmp_path, [*rules, "return status 298"], cases) < 0.9
