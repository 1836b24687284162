"""`show why` of backups, full servers, backends, frontends, and of all that take nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.program.program import NamedBackend

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind unix@{{folder}}/in
  maxconn 3
  default_backend full
frontend nowhere
  bind unix@{{folder}}/nowhere
backend pair
  server a 127.0.0.1:{port}
  server b 127.0.0.1:{port} backup
backend backups
  server x 127.0.0.1:{port} disabled
  server y 127.0.0.1:{port} backup
  server z 127.0.0.1:{port} backup
backend all
  option allbackups
  server x 127.0.0.1:{port} disabled
  server y 127.0.0.1:{port} backup
  server z 127.0.0.1:{port} backup
backend full
  timeout queue 60s
  server one 127.0.0.1:{port} maxconn 1
backend empty
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneProgram]:
    folder = tmp_path_factory.mktemp("overview") / "millrace"
    with closing(NamedBackend("127.0.0.1", 0)) as backend:
        text = CONFIGURATION.format(port=backend.port)
        with one_program(PROGRAMS["millrace"](), folder, text, {}) as program:
            yield program


def verdict(made: OneProgram, server: str) -> str:
    return made.ask(f"show why {server}").splitlines()[0].removeprefix(f"{server} ")


def test_a_backup_takes_sessions_only_when_its_turn_has_come(made: OneProgram) -> None:
    by = "takes no new sessions: it is a backup, and"
    assert verdict(made, "pair/a") == "takes new sessions."
    assert verdict(made, "pair/b") == f"{by} 1 active server takes sessions."
    assert verdict(made, "backups/y") == "takes new sessions."
    assert verdict(made, "backups/z") == f"{by} y comes first."
    assert verdict(made, "all/z") == "takes new sessions."
    made.ask("disable server pair/a")
    assert verdict(made, "pair/b") == "takes new sessions."
    made.ask("enable server pair/a")


def test_a_full_server_and_its_frontend_say_so(made: OneProgram) -> None:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    try:
        for client in clients:
            client.connect(str(made.folder / "in"))
        clients[0].settimeout(PATIENCE_SECONDS)
        wanted = "takes no new sessions: it has 1 sessions (maxconn 1), 2 wait for a place."
        wait_for(lambda: verdict(made, "full/one") == wanted, PATIENCE_SECONDS, wanted)
        lines = made.ask("show why full").splitlines()
        assert lines[0] == (
            "full takes new sessions: 1 of its 1 servers do; 2 sessions wait in its queues."
        )
        assert lines[1].startswith("  full/one takes none: it has 1 sessions (maxconn 1)")
        lines = made.ask("show why frontend in").splitlines()
        assert lines[0] == "in lets no clients in: it has 3 sessions of 3 (maxconn)."
        assert "  backend     : full takes new sessions: 1 of its 1 servers do" in lines[3]
        idle = made.ask("show why")
        assert "full/one takes no new sessions: it has 1 sessions" in idle
        assert "in lets no clients in: it has 3 sessions of 3 (maxconn)\n" in idle
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: verdict(made, "full/one") == "takes new sessions.", PATIENCE_SECONDS, "places")


def test_backends_say_what_they_stand_on(made: OneProgram) -> None:
    def first(backend: str) -> str:
        return made.ask(f"show why {backend}").splitlines()[0].removeprefix(f"{backend} ")

    assert first("pair") == "takes new sessions: 1 of its 2 servers do."
    on_backups = "takes new sessions on backups alone: 2 of its 3 servers are backups that do"
    assert first("backups") == f"{on_backups}, one at a time."
    assert first("all") == f"{on_backups}."
    assert first("empty") == "takes no new sessions: it has no servers."
    made.ask("disable server backups/y;disable server backups/z")
    assert first("backups") == "takes no new sessions: none of its 3 servers does."
    assert made.ask("show why backups").count(" takes none: ") == 3
    made.ask("enable server backups/y;enable server backups/z")


def test_alone_it_lists_what_takes_nothing(made: OneProgram) -> None:
    made.ask("disable frontend nowhere")
    told = made.ask("show why").splitlines()
    assert told == [
        "nowhere lets no clients in: an operator has disabled it",
        "backups/x takes no new sessions: it is disabled in the configuration",
        "all/x takes no new sessions: it is disabled in the configuration",
        "",
    ]
    lines = made.ask("show why frontend nowhere").splitlines()
    assert lines[0] == "nowhere lets no clients in: an operator has disabled it."
    assert "  backend     : none without a rule that names one" in lines
    made.ask("enable frontend nowhere;enable server backups/x;enable server all/x")
    assert made.ask("show why") == (
        "All servers take new sessions, and all frontends let clients in.\n\n"
    )
    made.ask("disable server backups/x;disable server all/x")


def test_an_order_has_the_age_of_its_own_kind(made: OneProgram) -> None:
    def orders() -> str:
        text = next(
            line for line in made.ask("show why all/y").splitlines() if line[:10] == "  operator"
        )
        return re.sub(r"[\d.]+ s ago", "then", text.partition(" : ")[2])

    made.ask("set server all/y state drain")
    assert orders() == "drain, last then"
    made.ask("set server all/y weight 3;set maxconn server all/y 9")
    assert orders() == "drain, last then; weight 3, maxconn 9"
    made.ask("set server all/y state ready")
    assert orders() == "weight 3, maxconn 9"


def test_what_there_is_not_is_an_error(made: OneProgram) -> None:
    assert made.ask("show why nope") == "No such backend.\n\n"
    said = "No such backend: that is a frontend, 'show why frontend in'.\n\n"
    assert made.ask("show why in") == said
    assert made.ask("show why frontend pair") == "No such frontend.\n\n"
    assert made.ask("show why pair/a pair/b").startswith("usage: show why ")
