"""halog, the counter of HAProxy's access logs: the same clients give the same counts.

It reads lines in the order of `option httplog`, which docs/logging.md writes for TCP.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server, echo, receive_all, receive_count

LOGGING = Path(__file__).parents[2] / "docs/logging.md"
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  nbthread 1
  log {{log}} local0 info
  log-send-hostname edge
defaults
  mode tcp
  log global
  log-format "FORMAT"
  retries 0
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend fe
  bind abns@millrace-halog-{{folder}}
  default_backend be
frontend dead
  bind abns@millrace-halog-dead-{{folder}}
  default_backend nothing
backend be
  server s1 127.0.0.1:{server}
backend nothing
  server n1 127.0.0.1:{nowhere}
"""
FORMAT = re.search(r'^log-format "(.*%sq/%bq.*)"$', LOGGING.read_text(), re.M)
ENDED = re.compile(r" (fe|dead) \S+ [-\d/+]+ 0 \d+ - - (\S\S)-- ")
GOOD, BAD = 5, 3  # clients


def meet(path: str, *, served: bool) -> None:
    """One client from its beginning to its end."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(b"\0" + path.encode().ljust(107, b"\0"))
        if served:
            client.sendall(b"hello")
            assert receive_count(client, 5) == b"hello"
            client.shutdown(socket.SHUT_WR)
        receive_all(client)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The access log of each program."""
    folder = tmp_path_factory.mktemp("halog")
    found = {}
    with Server(echo) as server:
        text = CONFIGURATION.format(server=server.port, nowhere=free_port())
        assert FORMAT is not None, "docs/logging.md has the format"
        text = text.replace("FORMAT", FORMAT[1])
        for name, command in PROGRAMS.items():
            with one_program(command(), folder / name, text, {}) as made:
                found[name] = log_of(made)
        yield found


def log_of(made: OneProgram) -> str:
    """The lines of some clients, as a syslog daemon writes them."""
    for _ in range(GOOD):
        meet(f"millrace-halog-{made.folder}", served=True)
    for _ in range(BAD):
        meet(f"millrace-halog-dead-{made.folder}", served=False)

    def lines() -> list[str]:
        made.read()
        return [text for _, text in made.lines if ENDED.search(text)]

    wait_for(lambda: len(lines()) == GOOD + BAD, 10, "each client has its line")
    return "\n".join(re.sub(r"^<\d+>", "", line).rstrip("\n") for line in lines()) + "\n"


def halog(log: str, *words: str) -> list[str]:
    done = subprocess.run(
        [require_program("halog"), "-q", *words],
        input=log,
        capture_output=True,
        check=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.stdout.splitlines()


FILTERS = ("", "-tcn SC", "-TCN --", "-e", "-E", "-Q", "-v -tcn SC", "-m 2", "-H")


@pytest.mark.parametrize("words", [*(f"{each} -c" for each in FILTERS), "-tc", "-cc", "-st"])
def test_counts_are_the_same(logs: dict[str, str], words: str) -> None:
    theirs, ours = (halog(log, *words.split()) for log in logs.values())
    assert ours == theirs


def test_termination_states_are_counted(logs: dict[str, str]) -> None:
    assert halog(logs["millrace"], "-tc") == [f"-- {GOOD}", f"SC {BAD}"]


def test_servers_have_the_same_sessions_and_errors(logs: dict[str, str]) -> None:
    def counts(log: str) -> list[list[str]]:
        head, *rows = (line.split() for line in halog(log, "-srv"))
        columns = [
            head.index(name) for name in head if "time" not in name.lower() and name[-1] != "t"
        ]
        return sorted([row[column] for column in columns] for row in rows)

    theirs, ours = (counts(log) for log in logs.values())
    assert ours == theirs
    assert len(ours) == 2


def test_a_line_is_passed_on_whole(logs: dict[str, str]) -> None:
    log = logs["millrace"]
    assert halog(log, "-tcn", "SC") == log.splitlines()[GOOD:]
    assert len(halog(log, "-pct")) > 2  # of times that were read
