"""One program checks thousands of scripted servers at once: what it shows and logs of each.

A check is made once: the next one would be due in an hour.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port, require_program
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.replies.deeds import Deed, Peer, address_of

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
  max-spread-checks {spread}
defaults
  mode tcp
  log global
  option log-health-checks
  timeout connect {limit}
  timeout check {limit}
  timeout client 5s
  timeout server 5s
  default-server inter 1h fall 1 rise 1
listen edge
  bind 127.0.0.1:{port}
{backends}
"""
LIMIT_MS = 4_000  # of a check whose server leaves it waiting
SPREAD_MS_EACH = 3
DEATHS_MAX = 2  # of HAProxy, which generated replies have ended once in some hundred runs
LOOK_SECONDS = 1.0
LINE = re.compile(r"(?:Health|Agent) check for server [^/]+/s(\d+) (.*)", re.DOTALL)


class Case(NamedTuple):
    """`lines` of the backend; what the server does, and its options beside `check`."""

    lines: tuple[str, ...]
    deeds: tuple[Deed, ...]
    options: str | None = None  # instead of `check`; PORT is the peer's


class OracleEndedError(Exception):
    """HAProxy ended by itself."""


class Told(NamedTuple):
    """What a program shows of a check, and the line that it logs; text as bytes in Latin-1."""

    status: str
    code: str
    description: str
    last: str
    line: str
    server: tuple[str, ...] = ()  # of an agent's: the columns of the server that its words change


HEALTH = ("check_status", "check_code", "check_desc", "last_chk")
AGENT = ("agent_status", "agent_code", "agent_desc", "last_agt")
WORDS = ("status", "weight", "slim", "agent_health")


def command_of(program: str, fresh: int) -> tuple[str, ...]:
    """`fresh`: the byte that HAProxy's memory is full of before it is used (mallopt(3))."""
    if program == "haproxy":
        perturb = f"MALLOC_PERTURB_={fresh ^ 0xFF}"
        return require_program("env"), perturb, require_program("haproxy"), "-dMno-cache"
    return sys.executable, "-m", "proxy"


def play(program: str, folder: Path, cases: Sequence[Case], fresh: int = 0) -> list[Told]:
    """What the program makes of each case."""
    for turn in range(DEATHS_MAX):
        with suppress(OracleEndedError):
            return _play_once(program, folder.with_name(f"{folder.name}.{turn}"), cases, fresh)
    return _play_once(program, folder, cases, fresh)


def _play_once(program: str, folder: Path, cases: Sequence[Case], fresh: int) -> list[Told]:
    """The same; raises OracleEndedError if HAProxy ends meanwhile."""
    with Peer([case.deeds for case in cases]) as peer:
        text = CONFIGURATION.format(
            spread=max(1, SPREAD_MS_EACH * len(cases)),
            limit=LIMIT_MS,
            port=free_port(),
            backends=_backends(cases, peer.port),
        )
        with one_program(command_of(program, fresh), folder, text, {}) as running:
            try:
                return _read(running, cases)
            except OSError as error:
                if program != "haproxy" or (status := running.child.poll()) is None:
                    raise
                print(f"HAProxy ended with {status} while it checked")
                raise OracleEndedError(status) from error


def _backends(cases: Sequence[Case], port: int) -> str:
    """A backend for each group of cases with the same lines."""
    servers: dict[tuple[str, ...], list[str]] = {}
    for number, case in enumerate(cases):
        options = (case.options or "check").replace("PORT", str(port))
        line = f"server s{number} {address_of(number)}:{port} {options}"
        servers.setdefault(case.lines, []).append(line)
    text = "\n".join(
        "\n  ".join((f"backend b{number}", *lines, *found))
        for number, (lines, found) in enumerate(servers.items())
    )
    return text.replace("{", "{{").replace("}", "}}")


def _read(running: OneProgram, cases: Sequence[Case]) -> list[Told]:
    rows: dict[int, dict[str, str]] = {}
    deadline = time.monotonic() + LIMIT_MS / 1_000 + PATIENCE_SECONDS
    while len(rows) < len(cases):
        missing = sorted(set(range(len(cases))) - rows.keys())
        assert time.monotonic() < deadline, f"no check of {missing}"
        time.sleep(LOOK_SECONDS)
        running.read()
        shown = running.ask_bytes("show stat -1 4 -1").decode("latin-1").lstrip("# ").strip("\n")
        for row in csv.DictReader(io.StringIO(shown, newline="")):
            number = int(row["svname"][1:])
            status = row["check_status"] or row["agent_status"]
            if status and status != "INI" and status[0] != "*":
                rows.setdefault(number, row)
    running.read_all()
    lines = _lines(running)
    return [_told(rows[number], lines.get(number, "")) for number in range(len(cases))]


def _told(row: dict[str, str], line: str) -> Told:
    asked = bool(row["agent_status"])
    status, code, description, last = (row[column] for column in (AGENT if asked else HEALTH))
    server = tuple(row[column] for column in WORDS) if asked else ()
    return Told(status, code, description, last, line, server)


def _lines(running: OneProgram) -> dict[int, str]:
    """The first line about each server's check, without what no two runs share."""
    found: dict[int, str] = {}
    for _, text in running.lines:
        line = LINE.search(text)
        if line is not None:
            said = re.sub(r"check duration: \d+ms", "check duration", line[2].strip())
            found.setdefault(int(line[1]), said)
    return found
