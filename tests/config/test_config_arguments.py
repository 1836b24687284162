"""Each argument of each word: used, refused, or named in a warning, as Debian's HAProxy judges it.

`oracle/arguments.txt` has a right line for each word that Millrace accepts (`...`: any number of
words may follow). Each line is judged by both programs as it is with one word too many, with an
unknown last word, and without its last word. Where HAProxy has an error, so has Millrace; a surplus
word that HAProxy passes over in silence is named in a WARNING.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.config.lines.process.mailers import MAILERS_WORDS
from proxy.config.lines.process.resolvers import RESOLVERS_WORDS
from proxy.config.lines.process.stats import STATS_WORDS
from proxy.config.lines.process.words import GLOBAL_WORDS
from proxy.config.lines.proxy.bind import BIND_OPTIONS, STATS_SOCKET_OPTIONS
from proxy.config.lines.proxy.option import OPTIONS
from proxy.config.lines.proxy.stats import STATS
from proxy.config.lines.proxy.words import PROXY_WORDS, TIMEOUT_WORDS
from proxy.config.lines.server.options import SERVER_OPTIONS
from proxy.config.lines.table import Treatment, Word
from proxy.config.loader import load
from proxy.config.text.messages import Severity
from tests.support.common import PATIENCE_SECONDS, require_program

ARGUMENTS = Path(__file__).parent / "oracle" / "arguments.txt"
SURPLUS, UNKNOWN, SENTINEL = "zz_surplus", "zz_unknown", "zz_sentinel"
LINES_MAX = 40  # of one file: HAProxy gives up after 50 errors
HEADS = {
    "proxy": ["listen a", "mode tcp"],
    "global": ["global"],
    "resolvers": ["resolvers r"],
    "mailers": ["mailers m"],
    "bind": ["listen a"],
    "server": [
        "resolvers r",
        "nameserver n 127.0.0.1:53",
        "listen a",
        "server w 127.0.0.1:80 check",
    ],
}
BEFORE: dict[str, Callable[[int], str]] = {
    "bind": lambda number: f"bind 127.0.0.1:{number + 1} ",
    "server": lambda number: f"server s{number} 127.0.0.1:80 ",
}
RULES = "rules are not built, and HAProxy ignores them too where TCP is forwarded"
PAGES = "nobody is shown these pages where TCP is forwarded"
FILES = "nothing reads what the word names"
# Line -> why Millrace takes what HAProxy refuses of it.
DIFFERENT = {
    "http-request deny if TRUE": RULES,
    "http-response deny if TRUE": RULES,
    "http-after-response allow if TRUE": RULES,
    "http-request use-service prometheus-exporter if { path /x }": RULES,
    "redirect location /x if TRUE": RULES,
    "stats http-request deny if TRUE": RULES,
    "monitor fail if TRUE": RULES,
    "stats admin if TRUE": "the page changes nothing, whoever may",
    "balance uri depth 3": "a number of a line that is warned of",
    "errorfile 503 /dev/null": PAGES,
    "errorfiles x 503": PAGES,
    "http-error status 503": PAGES,
    "issuers-chain-path /tmp": FILES,
    "ssl-provider default": FILES,
    "default-path origin /tmp": "a folder is looked for with the first file in it",
    "sni str(x)": "no session is encrypted",
    "ssl-default-bind-options ssl-min-ver TLSv1.2": "a value of a line that changes nothing",
    "set-var proc.x int(1)": "no word reads variables",
    "h1-case-adjust content-type Content-Type": "no header is written",
}
NEGATABLE_HERE = {"option tcpka"}  # both halves of it are, in HAProxy too
SILENT = "it silences the messages that are compared"
NOT_LISTED = {"quiet": SILENT}


class Case(NamedTuple):
    """One line of the file: `text` without the mark for any number of arguments."""

    text: str
    open_ended: bool


class Verdict(NamedTuple):
    """What a program said of one line."""

    error: bool
    warnings: tuple[str, ...]


def cases(section: str) -> list[Case]:
    found = []
    for line in ARGUMENTS.read_text().splitlines():
        name, _, text = line.partition(": ")
        if name == section:
            found.append(Case(text.removesuffix(" ..."), text.endswith(" ...")))
    return found


def verdict(said: Iterable[tuple[str, str]]) -> Verdict:
    said = tuple(said)
    return Verdict(
        any(severity == "ALERT" for severity, _ in said),
        tuple(text for severity, text in said if severity == "WARNING"),
    )


def haproxy_verdicts(head: list[str], lines: list[str], path: Path) -> list[Verdict]:
    """In as few runs as possible: what follows a line that ends the reading goes to the next."""
    program = require_program("haproxy")
    verdicts: list[Verdict] = []
    while len(verdicts) < len(lines):
        chunk = lines[len(verdicts) : len(verdicts) + LINES_MAX]
        path.write_text("\n".join([*head, *chunk, SENTINEL]) + "\n")
        done = subprocess.run(
            [program, "-c", "-f", str(path)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        place = re.compile(rf"\[(ALERT|WARNING)\].*\[{re.escape(str(path))}:([0-9]+)\](.*)")
        said: dict[int, list[tuple[str, str]]] = {}
        for match in map(place.match, done.stderr.splitlines()):
            if match is not None:
                said.setdefault(int(match[2]) - len(head) - 1, []).append((match[1], match[3]))
        judged = len(chunk) if len(chunk) in said else max(said) + 1
        verdicts += [verdict(said.get(number, ())) for number in range(judged)]
    return verdicts


def millrace_verdicts(head: list[str], lines: list[str], path: Path) -> list[Verdict]:
    path.write_text("\n".join([*head, *lines]) + "\n")
    said: dict[int, list[tuple[str, str]]] = {}
    for message in load([str(path)], environ={}).messages:
        if message.origin is not None:
            number = message.origin.line - len(head) - 1
            said.setdefault(number, []).append((message.severity.value, message.text))
    assert Severity.ALERT.value == "ALERT"
    return [verdict(said.get(number, ())) for number in range(len(lines))]


def both(section: str, texts: list[str], folder: Path) -> list[tuple[str, Verdict, Verdict]]:
    """Each line with HAProxy's verdict and Millrace's."""
    before = BEFORE.get(section, lambda _number: "")
    lines = [before(number) + text for number, text in enumerate(texts)]
    theirs = haproxy_verdicts(HEADS[section], lines, folder / "h.cfg")
    ours = millrace_verdicts(HEADS[section], lines, folder / "m.cfg")
    return list(zip(lines, theirs, ours, strict=True))


def known_to_haproxy(section: str, folder: Path) -> list[Case]:
    """The cases that HAProxy 2.6 accepts: of the others it has nothing to say."""
    found = cases(section)
    accepted = both(section, [case.text for case in found], folder)
    return [case for case, (_, theirs, _) in zip(found, accepted, strict=True) if not theirs.error]


@pytest.mark.slow
@pytest.mark.parametrize("section", HEADS)
def test_a_word_too_many_is_refused_or_named(section: str, tmp_path: Path) -> None:
    known = [case for case in known_to_haproxy(section, tmp_path) if case.text not in DIFFERENT]
    texts = [f"{case.text} {SURPLUS}" for case in known]
    wrong = []
    for case, (line, theirs, ours) in zip(known, both(section, texts, tmp_path), strict=True):
        named = any(SURPLUS in warning for warning in ours.warnings)
        if ours.error != theirs.error or not (ours.error or named or case.open_ended):
            wrong.append(f"{line}: HAProxy {theirs}, Millrace {ours}")
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["unknown", "missing"])
@pytest.mark.parametrize("section", HEADS)
def test_what_haproxy_refuses_is_refused(section: str, cut: str, tmp_path: Path) -> None:
    known = [case for case in known_to_haproxy(section, tmp_path) if case.text not in DIFFERENT]
    last = f" {UNKNOWN}" if cut == "unknown" else ""
    texts = [case.text.rpartition(" ")[0] + last for case in known if " " in case.text]
    wrong = [
        f"{line}: HAProxy {theirs}, Millrace {ours}"
        for line, theirs, ours in both(section, texts, tmp_path)
        if theirs.error and not ours.error
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("section", ["proxy", "global", "resolvers", "mailers"])
def test_no_and_default_stand_where_haproxy_lets_them(section: str, tmp_path: Path) -> None:
    known = [case.text for case in known_to_haproxy(section, tmp_path)]
    plain = [text for text in known if not text.startswith("no ")]
    texts = [f"no {text}" for text in plain if text not in NEGATABLE_HERE]
    # HAProxy 2.6 looks for the words behind `default option ...` in the wrong place.
    texts += [f"default {text}" for text in plain if not text.startswith("option ")]
    wrong = [
        f"{line}: HAProxy {theirs}, Millrace {ours}"
        for line, theirs, ours in both(section, texts, tmp_path)
        if theirs.error and not ours.error
    ]
    assert wrong == []


def accepted_words(*tables: dict[str, Word[object]]) -> set[str]:
    refused = (Treatment.LATER, Treatment.UNSUPPORTED, Treatment.REMOVED)
    return {name for table in tables for name, word in table.items() if word.kind not in refused}


@pytest.mark.parametrize(
    ("section", "before", "table"),
    [
        ("global", "", GLOBAL_WORDS),
        ("global", "stats ", STATS_WORDS),
        ("global", "stats socket /tmp/x.sock ", STATS_SOCKET_OPTIONS),
        ("proxy", "", PROXY_WORDS),
        ("proxy", "timeout ", TIMEOUT_WORDS),
        ("proxy", "option ", OPTIONS),
        ("proxy", "stats ", STATS),
        ("resolvers", "", RESOLVERS_WORDS),
        ("mailers", "", MAILERS_WORDS),
        ("bind", "", BIND_OPTIONS),
        ("server", "", SERVER_OPTIONS),
    ],
)
def test_every_accepted_word_is_listed(
    section: str, before: str, table: dict[str, Word[object]]
) -> None:
    """A new word needs a line in arguments.txt."""
    listed: set[str] = set()
    for case in cases(section):
        text = case.text.removeprefix("no ")
        if text.startswith(before):
            listed.add(text.removeprefix(before).split()[0])
            if "socket" in before:
                listed.update(text.split())
    assert accepted_words(table) - listed - NOT_LISTED.keys() == set()


def test_what_differs_is_listed() -> None:
    texts = {case.text for section in HEADS for case in cases(section)}
    assert DIFFERENT.keys() - texts == set()
