"""Generated maps: which value HAProxy and Millrace find in them, and what both refuse."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from tests.rules.test_converters_against_haproxy import Case, compared
from tests.rules.test_lists_against_haproxy import a_pattern, a_regex, a_value, configured
from tests.support.common import require_program
from tests.support.config.loading import load_text
from tests.support.generated import sample

pytestmark = pytest.mark.slow
MAPS, SAMPLES_EACH = 120, 12  # of a file
RUNS = sample(1, 42)
METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg", "int", "ip", "regm")
VALUES = {
    "": ("v", "two words", "tab\there", "", "x  y", "#", "ünicode", "1.2.3.4"),
    "_int": ("1", "-5", "007", "", "+3", "99999999999999999999", "-99999999999999999999", "-"),
    "m": (r"\1-\0", r"a\2b\\", r"\x41\9", "plain", r"\1\1\3"),
    "_ip": ("1.2.3.4", "::1", "2001:db8::5", "1.2.3.4/8"),
}
DEFAULTS = {"": ("", ",d", ",a.b"), "_int": ("", ",12"), "_ip": ("", ",9.8.7.6", ",::7")}
FILES = {  # name -> content
    "numbers": b"a 1\nb x\n",
    "half": b"a 12ab\n",
    "addresses": b"\n# c\na 1.2.3.4\nb 1.2.3\n",
    "named": b"a localhost\n",
    "ranges": b"1:2 v\n1x v\n",
    "networks": b"1.2.3.4 v\n1.2.3 v\n",
    "regexes": b"(a v\n",
    "texts": b"a b c \n\td\te\t\n f\n",
}
CONVERTERS = (
    *("map_str_int(numbers)", "map_str_int(half)", "map_str_ip(addresses)", "map_str_ip(named)"),
    *("map_reg(regexes)", "map(nothing)", "map(.)", "map", "map()", "map(texts)", "map_dom(texts)"),
    *("map_ip(networks)", "map_int(ranges)", "map_ip(texts)", "map_int(texts)", "map_beg(texts,d)"),
    *("map_str_ip(texts)", "map_str_int(numbers,)", "map_end(texts,)"),
)


def a_map(chance: random.Random, path: Path, method: str, gives: str) -> str:
    """The converter; its file has comments, blanks of all kinds, and keys more than once."""
    lines = []
    for _ in range(chance.choice((1, 4, 16))):
        regular = method.startswith("reg")
        key = a_regex(chance) if regular else a_pattern(chance, method)
        if method == "regm":
            key = chance.choice((f"({key})", f"(.)({key})", key))
        blanks = [chance.choice(("", " ", "\t ")) for _ in range(3)]
        value = chance.choice(VALUES["m" if method == "regm" else gives])
        lines.append(f"{blanks[0]}{key}{blanks[1] or ' '}{value}{blanks[2]}")
        lines += chance.choice(((), (), ("# a comment",), ("",), ("  ",)))
    path.write_bytes(chance.choice(("\n", "\r\n")).join(lines).encode())
    name = "map" if (method, gives) == ("str", "") and chance.random() < 0.5 else f"map_{method}"
    return f"{name}{gives}({path}{chance.choice(DEFAULTS[gives])})"


@pytest.mark.parametrize("run", range(RUNS))
def test_maps_give_the_same_values(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    methods = [METHODS[number % len(METHODS)] for number in range(MAPS)]
    rules = []
    for number, method in enumerate(methods):
        gives = "" if method == "regm" else chance.choice(("", "", "_int", "_ip"))
        found = a_map(chance, tmp_path / f"{number}.map", method, gives)
        rules.append(
            f"return status 299 content-type text/plain lf-string '<%[req.fhdr(x-v),{found}]>' "
            f"if {{ req.hdr(x-n) {number} }}"
        )
    cases = [
        Case(n, a_value(chance, m)) for n, m in enumerate(methods) for _ in range(SAMPLES_EACH)
    ]
    assert compared(tmp_path, rules, cases) == 1


@pytest.mark.parametrize("run", range(RUNS))
def test_conditions_look_up_in_maps(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    rules = []
    known = METHODS[:-1]  # HAProxy 2.6 dies of some values of `map_regm` in a condition
    methods = [known[number % len(known)] for number in range(MAPS)]
    for number, method in enumerate(methods):
        found = a_map(chance, tmp_path / f"{number}.map", method, "")
        asked = chance.choice(
            (
                f"req.fhdr(x-v),{found} -m found",
                f"req.fhdr(x-v),{found} -m sub v o",
                f"req.fhdr(x-v) -m {method} -M -f {tmp_path}/{number}.map",
            )
        )
        rules.append(f"return status 299 if {{ req.hdr(x-n) {number} }} {{ {asked} }}")
    cases = [
        Case(n, a_value(chance, m)) for n, m in enumerate(methods) for _ in range(SAMPLES_EACH)
    ]
    assert 0.1 < compared(tmp_path, [*rules, "return status 298"], cases) < 0.9


@pytest.mark.parametrize("converter", CONVERTERS)
def test_what_is_wrong_with_a_map_is_said_alike(
    converter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    fetch = "src_port" if converter.startswith("map_int") else "path"
    written = configured(f"{fetch},{converter} -m found")
    (tmp_path / "h.cfg").write_text(written)
    haproxy = (require_program("haproxy"), "-c", "-f", "h.cfg")
    judged = subprocess.run(haproxy, cwd=tmp_path, capture_output=True, text=True, check=False)
    begin = "error detected while parsing ACL 'x' : "
    theirs = [each for each in judged.stderr.splitlines() if begin in each]
    monkeypatch.chdir(tmp_path)
    ours = [
        each.text
        for each in load_text(written).messages
        if each.severity is Severity.ALERT and begin in each.text
    ]
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        said = re.sub(r" \(host names are not resolved here\)| \(No such file.*?\)", "", our)
        theirs_said = their.partition(begin)[2].replace("ACL keyword 'path' : ", "").rstrip(".")
        where = f" in ACL expression '{fetch},{converter}'"
        assert theirs_said.removesuffix(where) == said.partition(begin)[2].removesuffix(where)
