"""`del server` of servers of the files: HAProxy's answers, and ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.common import free_port
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen edge
  bind 127.0.0.1:{port}
  use-server ruled if {{{{ src 127.0.0.9 }}}}
  tcp-request content reject if {{{{ srv_is_up(asked) }}}}
  server up 127.0.0.1:{port}
  server free 127.0.0.1:{port} disabled
  server weighed 127.0.0.1:{port} check disabled
  server ruled 127.0.0.1:{port} disabled
  server asked 127.0.0.1:{port} disabled
  server tracked 127.0.0.1:{port} check disabled
  server tracks 127.0.0.1:{port} track tracked disabled
backend fixed
  balance static-rr
  server s1 127.0.0.1:{port} disabled
  server s2 127.0.0.1:{port}
"""
STEPS = (
    *("del server edge/up", "del server edge/ruled", "del server edge/asked"),
    *("del server edge/tracked", "del server edge/free", "del server edge/free"),
    *("del server edge/weighed", "del server fixed/s1", "del server fixed/s2"),
    *("disable server fixed/s2", "del server fixed/s2", "del server edge/tracks"),
    *("add server edge/free 127.0.0.1:9", "enable server edge/free", "del server edge/free"),
    *("disable server edge/free", "del server edge/free"),
)


def names(program: OneProgram) -> list[str]:
    """The servers of all backends, by `show servers state`; those of the files in their order."""
    lines = program.ask("show servers state").splitlines()[2:]
    return [f"{line.split()[1]}/{line.split()[3]}" for line in lines if line]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OneProgram]]:
    folder = tmp_path_factory.mktemp("deletions")
    with ExitStack() as stack:
        made = {}
        for kind, command in PROGRAMS.items():
            text = CONFIGURATION.format(port=free_port())
            running = one_program(command(), folder / kind, text, {})
            made[kind] = stack.enter_context(running)
        yield made


def test_the_same_are_deleted_and_refused(programs: dict[str, OneProgram]) -> None:
    deleted = 0
    for step in STEPS:
        answers = {kind: program.ask(step).strip() for kind, program in programs.items()}
        assert answers["millrace"] == answers["haproxy"], step
        deleted += answers["haproxy"] == "Server deleted."
        tables = {kind: names(program) for kind, program in programs.items()}
        assert tables["millrace"] == tables["haproxy"], step
    assert deleted == 6
