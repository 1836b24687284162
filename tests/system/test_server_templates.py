"""Servers that are added at run time with the options of a template of the files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program, in_force, who_answers

pytestmark = pytest.mark.slow

HOST = "127.44.53.1"
ADDED = "New server registered.\n\n"
CONFIGURATION = """
global
    nbthread 2
    spare-backends 2
    stats socket {{socket}} level admin
defaults base
    mode tcp
    timeout connect 5s
    timeout client 100s
    timeout server 100s
    default-server name common maxconn 3
listen edge from base
    bind {host}:{port}
    default-server maxconn 50
    default-server name common weight 7 check inter 100ms rise 1
    default-server name ready enabled maxconn 2
    default-server name tracked track edge/s1
    default-server name told agent-send password-of-mine
    server s1 {host}:{server} disabled
backend bare from base
    server s1 {host}:{server}
"""


class Edge(NamedTuple):
    """A program whose only server is off, and an address that answers."""

    program: Program
    port: int
    server: int

    def add(self, name: str, words: str) -> str:
        return self.program.ask(f"add server {name} {HOST}:{self.server} {words}")

    def row(self, name: str, backend: str = "edge") -> dict[str, str]:
        header, *rows = self.program.ask(f"show stat {backend} 4 -1").splitlines()
        names = header.removeprefix("# ").split(",")
        found = (dict(zip(names, row.split(","), strict=True)) for row in rows if row)
        return next(row for row in found if row["svname"] == name)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        backend = NamedBackend(HOST, 0)
        stack.callback(backend.close)
        port = free_port()
        text = CONFIGURATION.format(host=HOST, port=port, server=backend.port)
        yield Edge(stack.enter_context(Program(tmp_path, text)), port, backend.port)


def test_an_added_server_has_the_options_of_its_template(edge: Edge) -> None:
    assert in_force(edge.add("edge/plain", "")) == ADDED
    assert in_force(edge.add("edge/ready", "from ready")) == ADDED
    assert in_force(edge.add("edge/own", "from common maxconn 5")) == ADDED
    assert in_force(edge.add("bare/s2", "from common")) == ADDED
    assert edge.row("plain")["slim"] == ""  # as in HAProxy, nothing of a line without a name
    assert edge.row("ready")["slim"] == "2"
    assert who_answers((HOST, edge.port)) == HOST  # `enabled` is one of its options
    own = edge.row("own")
    assert (own["slim"], own["weight"], own["status"]) == ("5", "7", "MAINT")
    edge.program.ask("enable server edge/own; enable health edge/own")
    wait_for(lambda: edge.row("own")["check_status"] == "L4OK", PATIENCE_SECONDS, "a check")
    assert edge.row("s2", "bare")["slim"] == "3"  # of the `defaults` section alone
    assert edge.row("s2", "bare")["weight"] == "1"


def test_a_template_is_there_for_a_backend_that_was_added(edge: Edge) -> None:
    assert edge.program.ask("add backend late from base") == "New backend registered.\n\n"
    assert in_force(edge.add("late/s1", "from common weight 4")) == ADDED
    assert (edge.row("s1", "late")["slim"], edge.row("s1", "late")["weight"]) == ("3", "4")


def test_what_cannot_be_had_from_a_template_is_said(edge: Edge) -> None:
    assert edge.add("edge/n", "from comon") == (
        "unable to find 'default-server name comon' in backend edge; did you mean 'common' "
        "maybe ?\n\n"
    )
    assert edge.add("edge/n", "from") == "'from' expects the name of a 'default-server' line.\n\n"
    assert "right behind the address" in edge.add("edge/n", "weight 3 from common")
    assert edge.add("edge/n", "from tracked").startswith("'track' is not supported for a server")
    assert "edge/n" not in edge.program.ask("show servers conn")


def test_templates_are_shown_without_secrets(edge: Edge) -> None:
    shown = edge.program.ask("show default-server")
    assert shown.splitlines() == [
        "listen edge",
        "    default-server name common maxconn 3 weight 7 check inter 100ms rise 1",
        "    default-server name ready enabled maxconn 2",
        "    default-server name tracked track edge/s1",
        "    default-server name told agent-send *****",
        "backend bare",
        "    default-server name common maxconn 3",
        "",
    ]
    bare = "\n".join(shown.splitlines()[-3:])
    assert edge.program.ask("show default-server bare").rstrip() == bare.rstrip()
    assert edge.program.ask("show default-server none") == "Can't find backend.\n\n"


def test_what_nobody_has_ordered_is_not_told_as_an_order(edge: Edge) -> None:
    edge.program.ask("add backend late from base")
    edge.add("edge/ready", "from ready")  # whose template says `enabled`
    edge.add("edge/off", "from ready disabled")
    edge.add("late/s1", "from common")
    told = edge.program.ask("show config diff").splitlines()
    orders = [line.partition(" by ")[0] for line in told if line and line[0] != "#"]
    assert orders == [
        f"listen edge: server ready {HOST}:{edge.server} from ready added",
        f"listen edge: server off {HOST}:{edge.server} from ready disabled added",
        "backend late: added from base",
        f"backend late: server s1 {HOST}:{edge.server} from common added",
    ]


def test_what_is_added_from_a_template_goes_by_it_until_a_reload_brings_it(edge: Edge) -> None:
    assert in_force(edge.add("edge/n", "from ready")) == ADDED
    told = edge.program.ask("show config edge")
    line = f"server n {HOST}:{edge.server} from ready"
    assert line in told
    program = edge.program
    program.write(
        CONFIGURATION.format(host=HOST, port=edge.port, server=edge.server).replace(
            "backend bare", f"    {line}\nbackend bare"
        )
    )
    program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "reload done" in program.output.read_text(), PATIENCE_SECONDS, "the reload")
    assert edge.row("n")["slim"] == "2"
    assert who_answers((HOST, edge.port)) == HOST
