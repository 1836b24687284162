"""Servers that were added at run time have rows in the state file, which HAProxy takes, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from resolverd.state_file.format import StateFileError, StateRow, parse
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.dns.scripted import NX, ScriptedNameserver, records
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

HEAD = """
global
    nbthread 1
    stats socket {{socket}} level admin
    server-state-file {state}
"""
TAIL = """
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    load-server-state-from-file global
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 100ms
    timeout retry 100ms
    hold nx 0s
    hold valid 0s
    hold obsolete 0s
listen edge
    bind 127.0.0.1:{port}
    server s1 127.0.0.1:1
{more}
backend empty
    balance roundrobin
"""
OWN = "    spare-servers 4\n    dns-accept-family ipv4\n"


class Kept(NamedTuple):
    """A program that keeps a state file, and its nameserver."""

    program: Program
    nameserver: ScriptedNameserver
    state: Path
    tail: str

    def rows(self) -> dict[str, StateRow]:
        """The rows of the file; none while there is no file."""
        with suppress(FileNotFoundError, StateFileError):
            found = parse(self.state.read_bytes())
            return {f"{backend}/{server}": row for (backend, server), row in found.items()}
        return {}

    def wait(self, *names: str) -> dict[str, StateRow]:
        """The rows, once the file has those of these servers as control tells them."""

        def as_told() -> dict[str, StateRow]:
            told = self.program.ask("show servers state").rstrip("\n") + "\n"
            rows = {f"{key[0]}/{key[1]}": row for key, row in parse(told.encode()).items()}
            return rows if rows == self.rows() and set(rows) == set(names) else {}

        return wait_for(as_told, 3, lambda: f"{names}: {self.rows()}", step=0.1)

    def wait_address(self, address: str) -> None:
        """Return when the server n1 has it."""

        def is_there() -> bool:
            return self.program.servers("edge")["n1"]["srv_addr"] == address

        wait_for(is_there, 3, f"n1 at {address}")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    state = tmp_path / "state"
    with ExitStack() as stack:
        nameserver = stack.enter_context(ScriptedNameserver())
        nameserver.set("app.test", "A", records("127.0.1.1"))
        tail = TAIL.format(nameserver=nameserver.address, port=free_port(), more="{more}")
        text = HEAD.format(state=state) + OWN + tail.format(more="")
        yield Kept(stack.enter_context(Program(tmp_path, text, "-W")), nameserver, state, tail)


def test_rows_come_and_go_with_added_servers(kept: Kept) -> None:
    ask, file = kept.program.ask, "edge/s1"
    kept.wait(file)
    ask("add server edge/a1 127.0.0.1:81 weight 7 enabled")
    ask("add server empty/e1 127.0.0.1:82 check")
    ask("add server edge/n1 app.test:83 resolvers r1 enabled")
    kept.wait_address("127.0.1.1")
    rows = kept.wait(file, "edge/a1", "edge/n1", "empty/e1")
    assert list(kept.rows()) == [file, "edge/a1", "edge/n1", "empty/e1"]
    assert (rows["edge/a1"].weight, rows["edge/a1"].admin, rows["empty/e1"].admin) == (7, 0, 1)
    assert (rows["edge/n1"].address, rows["edge/n1"].fqdn) == ("127.0.1.1", "app.test")
    ask("set server edge/a1 weight 3")
    ask("disable server edge/n1")
    rows = kept.wait(file, "edge/a1", "edge/n1", "empty/e1")
    assert (rows["edge/a1"].weight, rows["edge/n1"].admin) == (3, 1)
    os.kill(kept.program.children()["resolverd"][0], signal.SIGKILL)
    ask("disable server edge/a1")
    rows = kept.wait(file, "edge/a1", "edge/n1", "empty/e1")  # of a successor
    assert rows["edge/a1"].admin == 1
    for name in ("edge/a1", "edge/n1", "empty/e1"):
        assert ask(f"del server {name}") == "Server deleted.\n\n"
    kept.wait(file)
    ask("add server edge/n1 app.test:83 resolvers r1")
    kept.wait_address("127.0.1.1")
    kept.wait(file, "edge/n1")
    kept.nameserver.set("app.test", "A", records("127.0.1.2"))
    ask("del server edge/n1")
    ask("add server edge/n2 127.0.0.1:84")  # maybe in that slot: no address is left of the other
    assert kept.wait(file, "edge/n2")["edge/n2"].address == "127.0.0.1"


def test_a_lost_address_is_kept_where_it_was_lost_by_an_error(kept: Kept) -> None:
    kept.program.ask("add server edge/n1 app.test:83 resolvers r1 enabled")
    wait_for(lambda: "edge/n1" in kept.rows(), 3, "its row")
    wait_for(lambda: kept.rows()["edge/n1"].address == "127.0.1.1", 3, "its address")
    kept.nameserver.set("app.test", "A", NX)
    kept.wait_address("-")
    kept.program.ask("set server edge/s1 weight 5")  # another row: the file is written
    wait_for(lambda: kept.rows()["edge/s1"].weight == 5, 3, "the file is written")
    assert kept.rows()["edge/n1"].address == "127.0.1.1"


@pytest.mark.parametrize("kind", ["millrace", "haproxy"])
def test_a_start_takes_what_the_files_have_by_then(kept: Kept, tmp_path: Path, kind: str) -> None:
    kept.program.ask("add server edge/a1 127.0.0.1:81 weight 7 enabled")
    kept.program.ask("add server edge/a2 127.0.0.1:82")
    kept.program.ask("disable server edge/a1")
    kept.wait("edge/s1", "edge/a1", "edge/a2")
    kept.program.process.send_signal(signal.SIGKILL)
    kept.program.process.wait(PATIENCE_SECONDS)
    folder = tmp_path / "second"
    text = HEAD.format(state=kept.state).replace("{socket}", "{folder}/s")
    text += kept.tail.format(more="    server a1 127.0.0.1:81 weight 7")
    with one_program(PROGRAMS[kind](), folder, text, {}) as second:
        states = {name: row["srv_admin_state"] for name, row in second.rows().items()}
        second.read()
    assert states == {"s1": "0", "a1": "1"}
    assert "a2" not in "".join(text for _, text in second.lines)
