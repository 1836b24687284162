"""Servers with other names are reloaded: what was counted and ordered stays with its machine."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

pytestmark = pytest.mark.slow

CONFIGURATION = """
global
    nbthread 2
    spare-servers 2
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen edge
    bind 127.0.0.1:{port}
    server a 127.0.0.1:{first} weight 20
    server b 127.0.0.1:{second} weight 20
"""


class Edge(NamedTuple):
    """A program with two servers, of which each says its name."""

    program: Program
    port: int
    ports: dict[str, int]
    text: str

    def ask(self, command: str) -> str:
        return in_force(self.program.ask_until_answered(command))

    def rename(self, server: str, name: str) -> None:
        self.ask(f"disable server edge/{server}")
        assert self.ask(f"set server edge/{server} name {name}") == "Server renamed.\n\n"

    def session(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            return client.recv(100).decode()

    def rows(self) -> dict[str, tuple[int, int, int]]:
        """By name: port, sessions, weight."""
        ports = {n: int(row["srv_port"]) for n, row in self.program.servers("edge").items()}
        found = [row.split(",") for row in self.program.ask("show stat edge 4 -1").splitlines()[1:]]
        return {row[1]: (ports[row[1]], int(row[7]), int(row[18])) for row in found if row[1:]}

    def reload(self, text: str | None = None) -> None:
        if text is not None:
            self.program.write(text)
        before = len(self.told)
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "reload done" in self.told[before:], PATIENCE_SECONDS, "the reload")
        self.program.wait_until_answering()

    def until_told(self, text: str) -> None:
        """What a reload has to say more follows its end."""
        wait_for(lambda: text in self.told, PATIENCE_SECONDS, text)

    @property
    def told(self) -> str:
        return self.program.output.read_text()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """Three sessions at the first server, whose weight is 5 by order, one at the second."""
    with ExitStack() as stack:
        ports = {}
        for name in ("first", "second"):
            server = stack.enter_context(Server(lambda c, said=name: c.sendall(said.encode())))
            ports[name] = server.port
        port = free_port()
        text = CONFIGURATION.format(port=port, **ports)
        edge = Edge(stack.enter_context(Program(tmp_path, text, "-W")), port, ports, text)
        for server, sessions in (("b", 3), ("a", 1)):
            edge.ask(f"disable server edge/{server}")
            assert len({edge.session() for _ in range(sessions)}) == 1
            edge.ask(f"enable server edge/{server}")
        edge.ask("set weight edge/a 5")
        counted = {"a": (ports["first"], 3, 5), "b": (ports["second"], 1, 20)}
        wait_for(lambda: edge.rows() == counted, PATIENCE_SECONDS, "what was counted")
        yield edge


def test_two_that_have_changed_names_are_what_the_files_say_again(edge: Edge) -> None:
    before = edge.rows()
    edge.rename("a", "other")
    edge.rename("b", "a")
    edge.rename("other", "b")
    assert edge.rows() == {"a": before["b"], "b": before["a"]}
    diff = edge.ask("show config diff").splitlines()
    [weight] = [line for line in diff if " weight 20 -> 5, " in line]
    assert "server b weight" in weight
    assert weight.endswith("; a reload keeps it")
    renamed = [line for line in diff if " renamed to " in line]
    assert len(renamed) == 2
    assert all(line.endswith("; a reload loses it") for line in renamed)
    edge.reload()
    assert edge.rows() == before
    edge.until_told("server edge/b, renamed at run time, is a again")
    edge.until_told("server edge/a, renamed at run time, is b again")


def test_its_former_name_is_its_own_again_if_only_it_stands_there(edge: Edge) -> None:
    before = edge.rows()
    edge.rename("a", "other")
    edge.ask(f"add server edge/a 127.0.0.1:{free_port()} weight 9")
    edge.reload()
    assert edge.rows() == before
    edge.until_told("server edge/other, renamed at run time, is a again")


def test_another_place_behind_its_new_name_is_told(edge: Edge) -> None:
    edge.rename("a", "other")
    first, second = edge.ports["first"], edge.ports["second"]
    edge.reload(edge.text.replace(f"server a 127.0.0.1:{first}", f"server other ::1:{second}"))
    edge.until_told(
        f"server edge/other, renamed at run time with 127.0.0.1:{first}, is in the files with "
        f"::1:{second}: it goes by these"
    )
    assert edge.rows()["other"][0] == second
