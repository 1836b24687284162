"""Lines about checks with words in any order, too many, wrong or missing: HAProxy's verdicts.

A line that HAProxy refuses is refused, one that it warns of is warned of or refused, one that it
takes is taken, but for REFUSED_HERE.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from tests.config.test_config_arguments import Verdict, haproxy_verdicts, millrace_verdicts
from tests.support.generated import sample

LINES = sample(300, full=4_000)
HEAD = ["defaults", "mode tcp", "timeout connect 1s", "timeout server 1s"]
EXPECT = (
    *("min-recv 4", "min-recv 0", "min-recv -1", "comment one", "ok-status L7OK", "ok-status L6OK"),
    *("error-status L7RSP", "error-status L4CON", "tout-status L7TOUT", "on-success fine"),
    *("on-error bad", "status-code 5", "!"),
)
CONNECT = ("default", "port 80", "addr 127.0.0.1", "addr 127.0.0.1:5", "send-proxy", "linger")
SEND = ("meth GET", "uri /", "ver HTTP/1.1", "hdr A b", "hdr A", "body text", "comment c")
MATCHES = {
    "tcp-check": ("string a", "rstring ^a", "binary 00ff", "binary 0", "rbinary 00", "string ''"),
    "http-check": (
        *("string a", "rstring ^a", "status 200", "status 200-399", "status 399-200", "rstatus ^2"),
        *("hdr name a", "fhdr name -m beg a value -m end b", "hdr value a", "hdr name a value"),
        *("fhdr name -m found a", "hdr name -m reg (", "status 99999", "rstatus (", "status"),
    ),
}
OPTIONS = (
    *("option smtpchk", "option smtpchk EHLO me", "option smtpchk HELO", "option mysql-check"),
    *("option mysql-check user me", "option mysql-check user me pre-41", "option redis-check"),
    *("option mysql-check user me post-41", "option pgsql-check user me", "option ldap-check"),
    *("option ssl-hello-chk", "option tcp-check", "option httpchk", "option httpchk GET /"),
    *("option httpchk GET / HTTP/1.1", "option httpchk /", "http-check disable-on-404"),
)
WORDS = (
    *("user", "me", "''", "5", "-5", "x", "pre-41", "GET", "/", "string", "status", "!", "name"),
    *("value", "-m", "comment", "min-recv", "port", "addr", "linger", "L7OK", "L9", "on-error"),
    *("post-41", "EHLO", "binary", "0", "send", "default", "ssl", "via-socks4", "proto", "alpn"),
)

REFUSED_HERE = {  # pattern -> why HAProxy takes such a line
    r" ''": "it reads no further than to an empty word",
    r" min-recv [^ 0-9-]": "it takes what is no number for 0",
    r" -m [a-z]+$": "it misses no pattern at the end of a line",
    r" via-socks4": "it knows the word",
}


def rule(chance: Random) -> str:
    """A line that is right, or would be with other words."""
    if chance.random() < 0.25:
        return chance.choice(OPTIONS)
    kind = chance.choice(list(MATCHES))
    what = chance.choice(("expect", "expect", "expect", "connect", "send", "comment"))
    if what == "expect":
        words = [chance.choice(EXPECT) for _ in range(chance.choice((0, 0, 1, 2)))]
        words.append(chance.choice(MATCHES[kind]))
    elif what == "connect":
        words = [chance.choice(CONNECT) for _ in range(chance.choice((0, 1, 2)))]
    elif what == "comment":
        words = ["text"]
    elif kind == "http-check":
        words = [chance.choice(SEND) for _ in range(chance.choice((1, 2, 3)))]
    else:
        what = chance.choice(("send", "send-binary"))
        words = [chance.choice(("00ff", "text", "0"))]
    return " ".join((kind, what, *words))


def changed(chance: Random, line: str) -> str:
    """The line with a word more, less, or another."""
    words = line.split(" ")
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        at = chance.randrange(1, len(words) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            words.insert(at, chance.choice(WORDS))
        elif kind == 1 and at < len(words):
            words[at] = chance.choice(WORDS)
        elif kind == 2 and at < len(words):
            del words[at]
        else:
            words.insert(at, chance.choice(words[1:] or WORDS))
    return " ".join(words)


def section(number: int, line: str) -> list[str]:
    """A backend for the line, with the option that it belongs to."""
    option = "option httpchk" if line.startswith("http-check") else "option tcp-check"
    return [f"backend b{number}", option, line]


@pytest.mark.slow
def test_generated_lines_are_judged_alike(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    lines = [changed(chance, rule(chance)) for _ in range(LINES)]
    text = [each for number, line in enumerate(lines) for each in section(number, line)]
    theirs = haproxy_verdicts(HEAD, text, tmp_path / "h.cfg")[2::3]
    ours = millrace_verdicts(HEAD, text, tmp_path / "m.cfg")[2::3]
    wrong = [
        f"{line}: HAProxy {their}, Millrace {our}"
        for line, their, our in zip(lines, theirs, ours, strict=True)
        if not _alike(line, their, our)
    ]
    assert wrong == []


def _alike(line: str, theirs: Verdict, ours: Verdict) -> bool:
    if ours.error and not theirs.error:
        return any(re.search(pattern, line) for pattern in REFUSED_HERE)
    return theirs.error == ours.error and (bool(ours.warnings) or not theirs.warnings)
