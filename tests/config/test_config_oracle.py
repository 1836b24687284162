"""The same files, checked by Debian's HAProxy and by Millrace: same status, same line.

Each line of `oracle/*.txt` is one case: a word put into a complete file, or (sections.txt) a whole
file with `\\n` for line ends. Texts of messages are not compared. Where Millrace decides otherwise
on purpose, the case stands in DIFFERENT with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.loader import load
from proxy.config.report import summarize
from proxy.config.text.condition import evaluate
from proxy.config.text.messages import ConfigError, Severity
from proxy.supervisor.listening import listens
from tests.support.common import PATIENCE_SECONDS, require_program

FOLDER = Path(__file__).parent / "oracle"
LISTEN = (
    "listen a\n  mode tcp\n  bind 127.4.4.4:1111\n  timeout client 10s\n  timeout server 10s\n"
    "  timeout connect 10s\n  server w 127.0.0.1:+10 weight 256\n"
)
TEMPLATES: dict[str, Callable[[str], str]] = {
    "proxy": lambda word: f"{LISTEN}  {word}\n",
    "global": lambda word: f"global\n  {word}\n{LISTEN}",
    "resolvers": lambda word: f"resolvers r\n  nameserver n 127.0.0.1:53\n  {word}\n{LISTEN}",
    "sections": lambda text: text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r"),
}
# Case -> why Millrace's status is not HAProxy's.
DIFFERENT = {
    "server a nosuch.invalid check init-addr none": "a check without any port can never pass",
    "bind-process 1": "HAProxy 2.6 warns because it is deprecated there; gone from 2.7",
    "default option tcpka": "HAProxy 2.6 knows 'default' for some options only",
    r"frontend f 127.0.0.1:80\n": "HAProxy shows an ALERT and goes on",
    r"defaults a b\n": "HAProxy shows an ALERT and goes on",
    r"resolvers r s\n": "HAProxy shows an ALERT and goes on",
    r"frontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n mode http\n": "mode http",
    r"backend f\n default_backend g\n maxconn 3\n backlog 4\n": "ignored with a warning",
    r"backend f\n bind 127.0.0.1:1\n": "HAProxy counts a bind that it ignores as a listener",
    r'.if 0\n  description "unclosed\n.endif\nbackend a\n': "lines that do not count are not split",
    r".if strstr(abc,b)\nbackend a\n.else\nfoo\n.endif\n": "newer than 2.6",
    r".if enabled(SPLICE)\nbackend a\n.else\nfoo\n.endif\n": "newer than 2.6",
    r".if 1\nbackend a\n": "the open '.if' is named, not the end of the file",
    r"listen f\n bind :1\n timeout client 1s\n option tcplog\n": "no access log yet",
}
CHUNKS = 8  # tests a file is spread over, so that they run side by side
ENVIRONMENT = {"HOME": "/root", "PATH": os.environ.get("PATH", "/usr/bin:/usr/sbin")}


def cases(name: str, chunk: int) -> list[str]:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line.strip() and line not in DIFFERENT][chunk::CHUNKS]


def haproxy_status(program: str, path: Path, *flags: str) -> tuple[int, int | None]:
    """Exit status, and the line of the first error that has one."""
    done = subprocess.run(
        [program, "-c", *flags, "-f", str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE_SECONDS,
        check=False,
        env=ENVIRONMENT,
    )
    alerts = [line for line in done.stderr.splitlines() if line.startswith("[ALERT]")]
    places = [re.search(re.escape(str(path)) + r":([0-9]+)\]", line) for line in alerts]
    found = [int(place[1]) for place in places if place]
    return done.returncode, found[0] if found else None


def millrace_status(path: Path) -> tuple[int, int, list[int]]:
    """Exit status, the one with -dW, and the lines of all errors."""
    outcome = load([str(path)], environ=ENVIRONMENT)
    listening = outcome.settings is None or listens(outcome.settings)
    status, strict = (
        summarize(
            outcome.messages, check=True, warnings_fatal=fatal, has_listener=listening
        ).exit_status
        for fatal in (False, True)
    )
    lines = [
        message.origin.line
        for message in outcome.messages
        if message.severity is Severity.ALERT and message.origin
    ]
    return status, strict, lines


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("name", TEMPLATES)
def test_haproxy_and_millrace_judge_alike(name: str, chunk: int, tmp_path: Path) -> None:
    program = require_program("haproxy")
    path = tmp_path / "t.cfg"
    differences: list[str] = []
    for case in cases(name, chunk):
        path.write_text(TEMPLATES[name](case))
        strict, line = haproxy_status(program, path, "-dW")
        wanted = strict  # without a warning or an error, -dW changes nothing: one run says both
        if strict == 1:
            wanted, line = haproxy_status(program, path)
        status, strict_status, lines = millrace_status(path)
        if status != wanted or (line is not None and line not in lines):
            differences.append(f"{case}: HAProxy {wanted} at {line}, Millrace {status} at {lines}")
        if strict_status != strict:
            differences.append(f"{case}: with -dW HAProxy {strict}, Millrace {strict_status}")
    assert differences == []


CONDITIONS = (
    *("1", "0", "-1", "+1", "!1", "!0", "1x", "1 1", "1 &&", "!", "()", "(1", "(1)", "", "foo"),
    *("streq(a,a)", "streq(a,b)", "streq(a,b", "streq(a)", "streq(a,b,c)", "nope(1)", "defined()"),
    *("defined(HOME)", "defined(NOPE_NOPE)", "feature(NOPE)", "1 && 0 || 1", "0 && (1 || 1)"),
    *("version_atleast(2.4)", "version_atleast(2.4", "version_before(2.4)", "version_atleast(9)"),
)


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_have_the_same_status(condition: str) -> None:
    program = require_program("haproxy")
    done = subprocess.run(
        [program, "-cc", condition], capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    try:
        status = 0 if evaluate(condition, ENVIRONMENT) else 1
    except ConfigError:
        status = 2
    assert status == done.returncode
