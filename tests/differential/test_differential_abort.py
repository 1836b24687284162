"""`option abortonclose`: which sessions wait on after a client's FIN, beside HAProxy."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.relay.worker import Backend

EDGE = "127.67.2.1"
WAIT_SECONDS = 0.6  # far below `timeout connect`
TEXT = """\
global
    nbthread 1
    stats socket {folder}/s level admin
defaults
    mode tcp
    timeout connect 20s
    timeout queue 20s
    timeout client 600s
    timeout server 600s
"""


def sessions(program: OneProgram, name: str) -> int:
    rows = [line.split(",") for line in program.ask("show stat").splitlines()]
    return next(int(row[4]) for row in rows if row[:2] == [name, "FRONTEND"])


def ended(command: tuple[str, ...], folder: Path) -> dict[str, bool]:
    """Which sessions have ended soon after their client's FIN."""
    full = Backend("127.67.2.9").fill()
    cases = {
        "connecting": "",
        "connecting aborts": "option abortonclose",
        "queued": "default-server maxconn 1",
        "queued aborts": "option abortonclose\n    default-server maxconn 1",
    }
    with ExitStack() as stack:
        stack.callback(full.close)
        ports = {name: free_port() for name in cases}
        text = TEXT + "".join(
            f"listen {name.replace(' ', '-')}\n    bind {EDGE}:{ports[name]}\n    {words}\n"
            f"    server s {full.host}:{full.port}\n"
            for name, words in cases.items()
        )
        program = stack.enter_context(one_program(command, folder, text, {}))
        clients = {}
        for name in cases:
            title = name.replace(" ", "-")
            if name.startswith("queued"):
                stack.enter_context(socket.create_connection((EDGE, ports[name]), PATIENCE_SECONDS))
                wait_for(lambda t=title: sessions(program, t) == 1, 5, "the first")
            client = stack.enter_context(
                socket.create_connection((EDGE, ports[name]), PATIENCE_SECONDS)
            )
            client.sendall(b"request")
            clients[name] = client
            count = 1 + name.startswith("queued")
            wait_for(lambda t=title, c=count: sessions(program, t) == c, 5, "the session")
        for client in clients.values():
            client.shutdown(socket.SHUT_WR)
        for name in ("connecting aborts", "queued aborts"):
            assert select.select([clients[name]], [], [], PATIENCE_SECONDS)[0], name
        return {
            name: bool(select.select([client], [], [], WAIT_SECONDS)[0])
            for name, client in clients.items()
        }


def test_a_fin_ends_what_has_no_server_yet_where_the_option_says_so(tmp_path: Path) -> None:
    theirs = ended(haproxy_command(), tmp_path / "haproxy")
    ours = ended(millrace_command(), tmp_path / "millrace")
    assert ours == theirs
    assert [name for name, over in ours.items() if over] == ["connecting aborts", "queued aborts"]
