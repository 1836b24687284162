"""Servers with `resolvers` are added and deleted at run time: their names are asked for as those of
the file are, whichever process dies on the way.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import NX, ScriptedNameserver, delayed, records
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

pytestmark = pytest.mark.slow

ADDED = "New server registered.\n\n"
DELETED = "Server deleted.\n\n"
NAME, OTHER = "app.test", "other.test"
CONFIGURATION = """
global
    nbthread 2
    spare-servers {spare}
    stats socket {{socket}} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve {period}
    timeout retry 100ms
    hold obsolete 0s
    hold nx 0s
    hold valid 0s
    hold timeout {hold}
listen edge
    bind 127.0.0.1:{port}
    default-server resolvers r1
    server s1 127.0.0.1:{port_of_servers} disabled
{more}
"""
ADDRESSES = tuple(f"127.0.1.{number}" for number in range(1, 5))


class Edge(NamedTuple):
    """A program without servers but one that is off, a nameserver, and servers at ADDRESSES."""

    program: Program
    nameserver: ScriptedNameserver
    port: int
    port_of_servers: int
    text: Callable[[str], str]

    def ask(self, command: str) -> str:
        """The answer, of a successor if control was killed before it gave one."""
        return self.program.ask_until_answered(command)

    def add(self, name: str, words: str = "enabled", host: str = NAME) -> None:
        line = f"{host}:{self.port_of_servers} resolvers r1 {words}"
        assert ADDED.strip() in self.ask(f"add server edge/{name} {line}")

    def delete(self, name: str) -> None:
        self.ask(f"disable server edge/{name}")
        answers = (DELETED, "No such server.\n\n")  # a control that was killed had deleted it
        wait_for(
            lambda: in_force(self.ask(f"del server edge/{name}")) in answers,
            PATIENCE_SECONDS,
            "deleted",
        )

    def addresses(self) -> dict[str, str]:
        return {
            name: row["srv_addr"]
            for name, row in self.program.servers("edge").items()
            if name != "s1"
        }

    def wait(self, **addresses: str) -> None:
        def as_wanted() -> bool:
            with suppress(OSError, ValueError, KeyError, IndexError):
                return self.addresses() == addresses
            return False

        wait_for(as_wanted, PATIENCE_SECONDS, f"{addresses}")

    def who(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            return client.recv(20).decode()

    def kill(self, kind: str) -> None:
        found = wait_for(lambda: self.program.children().get(kind), PATIENCE_SECONDS, kind)
        os.kill(found[0], signal.SIGKILL)

    def reload(self, more: str = "") -> None:
        self.program.write(self.text(more))
        done = self.program.output.read_text().count("reload done")
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: self.program.output.read_text().count("reload done") > done,
            PATIENCE_SECONDS,
            "the reload",
        )


def made(
    folder: Path, stack: ExitStack, *, period: str = "100ms", hold: str = "30s", spare: int = 3
) -> Edge:
    nameserver = stack.enter_context(ScriptedNameserver())
    port, port_of_servers = free_port(), free_port()
    for address in ADDRESSES:

        def greet(connection: socket.socket, address: str = address) -> None:
            connection.sendall(address.encode())
            connection.recv(1)

        stack.enter_context(Server(greet, address, port_of_servers))

    def text(more: str = "") -> str:
        return CONFIGURATION.format(
            nameserver=nameserver.address,
            port=port,
            port_of_servers=port_of_servers,
            period=period,
            spare=spare,
            hold=hold,
            more=more,
        )

    program = stack.enter_context(Program(folder, text(), "-W"))
    return Edge(program, nameserver, port, port_of_servers, text)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield made(tmp_path, stack)


def test_a_name_feeds_an_added_server_and_is_dropped_with_it(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
    edge.nameserver.set(OTHER, "A", records(ADDRESSES[2]))
    edge.add("n1", "check")
    edge.wait(n1=ADDRESSES[0])  # also in maintenance
    assert ",MAINT," in edge.program.ask("show stat edge 4 -1").splitlines()[2]
    edge.ask("enable server edge/n1")
    edge.ask("enable health edge/n1")
    assert edge.who() == ADDRESSES[0]
    edge.nameserver.set(NAME, "A", records(ADDRESSES[1]))
    edge.wait(n1=ADDRESSES[1])
    assert edge.who() == ADDRESSES[1]
    assert NAME in edge.program.ask("show resolution")
    account = edge.program.ask(f"show resolution {NAME}")
    assert f"record {ADDRESSES[1]}: " in account
    assert "held by edge/n1" in account
    assert "origin        : added server" in account
    assert NAME in edge.program.ask("show why edge/n1")
    assert edge.program.servers("edge")["n1"]["srv_fqdn"] == NAME
    assert edge.program.ask(f"set server edge/s1 fqdn {OTHER}")  # a name of the file's server
    edge.delete("n1")
    assert NAME not in edge.program.ask("show resolution")
    asked, others = len(edge.nameserver.asked(NAME)), len(edge.nameserver.asked(OTHER))
    edge.nameserver.wait_queries(others + 3, OTHER)
    assert len(edge.nameserver.asked(NAME)) == asked
    edge.delete("s1")  # whose `resolvers` are of `default-server`
    assert OTHER not in edge.program.ask("show resolution")


def test_two_added_servers_share_one_name(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(*ADDRESSES[:2]))
    edge.add("n1")
    edge.add("n2")
    edge.add("n3", "enabled resolve-opts allow-dup-ip")
    wait_for(
        lambda: (
            sorted(edge.addresses().values())[:2]
            in (
                [ADDRESSES[0]] * 2,
                list(ADDRESSES[:2]),
            )
        ),
        PATIENCE_SECONDS,
        "all have an address",
    )
    assert {edge.addresses()[name] for name in ("n1", "n2")} == set(ADDRESSES[:2])
    rows = [line for line in edge.program.ask("show resolution").splitlines() if NAME in line]
    assert len(rows) == 1
    edge.delete("n1")
    edge.delete("n3")
    edge.nameserver.set(NAME, "A", records(ADDRESSES[3]))
    edge.wait(n2=ADDRESSES[3])
    edge.delete("n2")
    assert NAME not in edge.program.ask("show resolution")


def test_a_name_that_is_denied_takes_the_address_away(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
    edge.add("n1")
    edge.wait(n1=ADDRESSES[0])
    edge.nameserver.set(NAME, "A", NX)
    edge.wait(n1="-")
    assert ",MAINT (resolution)," in edge.program.ask("show stat edge 4 -1")
    edge.nameserver.set(NAME, "A", records(ADDRESSES[1]))
    edge.wait(n1=ADDRESSES[1])
    assert edge.who() == ADDRESSES[1]


def test_another_name_may_be_ordered_and_outlives_resolverd(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
    edge.nameserver.set(OTHER, "A", records(ADDRESSES[1]))
    edge.add("n1")
    edge.wait(n1=ADDRESSES[0])
    assert "changed its FQDN from app.test to other.test" in edge.ask(
        f"set server edge/n1 fqdn {OTHER}"
    )
    edge.wait(n1=ADDRESSES[1])
    assert NAME not in edge.program.ask("show resolution")
    edge.kill("resolverd")
    edge.nameserver.set(OTHER, "A", records(ADDRESSES[2]))
    edge.wait(n1=ADDRESSES[2])
    assert edge.program.servers("edge")["n1"]["srv_fqdn"] == OTHER
    edge.ask(f"set server edge/n1 fqdn {NAME}")
    edge.wait(n1=ADDRESSES[0])
    edge.ask(f"set server edge/n1 fqdn {OTHER}")
    edge.delete("n1")
    edge.add("n2")  # in a slot of its own, or the same one: no order is left there
    edge.wait(n2=ADDRESSES[0])
    # a server with an address may get a name as well, and without `resolvers` none
    line = f"{ADDRESSES[3]}:{edge.port_of_servers}"
    assert in_force(edge.ask(f"add server edge/n3 {line} resolvers r1")) == ADDED
    edge.ask(f"set server edge/n3 fqdn {OTHER}")
    edge.wait(n2=ADDRESSES[0], n3=ADDRESSES[2])
    assert in_force(edge.ask(f"add server edge/n4 {line}")) == ADDED
    refused = "set server <b>/<s> fqdn failed because no resolution is configured.\n\n"
    assert edge.ask(f"set server edge/n4 fqdn {OTHER}") == refused


@pytest.mark.parametrize("kind", ["worker", "control", "resolverd"])
def test_a_process_is_killed_after_each_step(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        edge = made(tmp_path, stack, spare=1)
        for turn in range(2):  # more than there are slots
            add_and_delete(edge, kind, turn)


def add_and_delete(edge: Edge, kind: str, turn: int) -> None:
    first, second = ADDRESSES[turn % 2], ADDRESSES[2 + turn % 2]
    edge.nameserver.set(NAME, "A", records(first))
    edge.add("n1")
    edge.kill(kind)
    edge.wait(n1=first)
    edge.nameserver.set(NAME, "A", records(second))
    edge.wait(n1=second)
    edge.program.wait_until_answering()
    wait_for(lambda second=second: edge.who() == second, PATIENCE_SECONDS, "it has clients")
    edge.nameserver.set(OTHER, "A", records("127.0.1.9"))
    edge.ask(f"set server edge/n1 fqdn {OTHER}")
    edge.wait(n1="127.0.1.9")
    edge.ask("disable server edge/n1")
    edge.kill(kind)
    edge.delete("n1")
    edge.kill(kind)
    edge.wait()
    edge.program.wait_until_answering()
    wait_for(lambda: OTHER not in edge.program.ask("show resolution"), PATIENCE_SECONDS, "dropped")


def test_a_server_is_deleted_while_its_name_is_asked(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", delayed(records(ADDRESSES[0]), 0.3))
    edge.nameserver.set(OTHER, "A", records(ADDRESSES[1]))
    for turn in range(1, 7):
        edge.add("n1")
        edge.nameserver.wait_queries(turn, NAME, "A")
        edge.delete("n1")
        edge.add("n2", host=OTHER)
        edge.wait(n2=ADDRESSES[1])
        edge.delete("n2")
    edge.add("n2", host=OTHER)
    edge.add("n1")
    edge.wait(n1=ADDRESSES[0], n2=ADDRESSES[1])  # the late answers have changed nothing
    assert "resolverd" not in "".join(
        line for line in edge.program.output.read_text().splitlines() if "exited" in line
    )


def test_a_failed_connect_asks_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        edge = made(tmp_path, stack, period="600s")
        edge.nameserver.set(NAME, "A", records("127.0.1.99"))
        edge.add("n1")
        edge.wait(n1="127.0.1.99")
        edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
        with suppress(OSError):
            edge.who()
        edge.wait(n1=ADDRESSES[0])
        assert edge.who() == ADDRESSES[0]


def test_a_hold_goes_on_over_resolverd_and_ends(tmp_path: Path) -> None:
    with ExitStack() as stack:
        edge = made(tmp_path, stack, hold="1500ms")
        edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
        edge.add("n1")
        edge.wait(n1=ADDRESSES[0])
        edge.nameserver.set(NAME, "A", replace(records(), silent=True))
        edge.kill("resolverd")
        seen = len(edge.nameserver.asked(NAME))
        edge.nameserver.wait_queries(seen + 2, NAME)  # the successor asks
        edge.wait(n1="-")
        edge.nameserver.set(NAME, "A", records(ADDRESSES[1]))
        edge.wait(n1=ADDRESSES[1])


def test_a_successor_knows_the_records_of_an_added_name(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
    edge.add("n1")
    edge.wait(n1=ADDRESSES[0])
    edge.nameserver.set(NAME, "A", replace(records(), silent=True))
    edge.kill("resolverd")
    seen = len(edge.nameserver.asked(NAME))
    edge.nameserver.wait_queries(seen + 2, NAME)  # the successor asks, and gets no answer
    edge.add("n2", "enabled resolve-opts allow-dup-ip")
    edge.wait(n1=ADDRESSES[0], n2=ADDRESSES[0])


def test_a_reload_keeps_what_the_file_has_by_then(edge: Edge) -> None:
    edge.nameserver.set(NAME, "A", records(ADDRESSES[0]))
    edge.nameserver.set(OTHER, "A", records(ADDRESSES[1]))
    edge.add("kept")
    edge.add("gone", host=OTHER)
    edge.wait(kept=ADDRESSES[0], gone=ADDRESSES[1])
    edge.nameserver.set(NAME, "A", replace(records(), silent=True))
    edge.reload(f"    server kept {NAME}:{edge.port_of_servers} resolvers r1")
    asked = len(edge.nameserver.asked(NAME))
    edge.nameserver.wait_queries(asked + 10, NAME)  # two runs without an answer: the hold goes on
    assert edge.addresses() == {"kept": ADDRESSES[0]}
    gone = "server edge/gone, added at run time, is not in the files"
    wait_for(lambda: gone in edge.program.output.read_text(), PATIENCE_SECONDS, "the log says so")
    assert OTHER not in edge.program.ask("show resolution")
    edge.nameserver.set(NAME, "A", records(ADDRESSES[2]))
    edge.wait(kept=ADDRESSES[2])
    edge.add("n1")  # shares the name of the file
    edge.nameserver.set(NAME, "A", records(ADDRESSES[2], ADDRESSES[3]))
    edge.wait(kept=ADDRESSES[2], n1=ADDRESSES[3])
    edge.kill("resolverd")
    edge.nameserver.set(NAME, "A", records(ADDRESSES[2], ADDRESSES[0]))
    edge.wait(kept=ADDRESSES[2], n1=ADDRESSES[0])
    edge.delete("n1")
    assert NAME in edge.program.ask("show resolution")


def test_a_resolverd_that_is_stopped_is_named(edge: Edge) -> None:
    for name, host in (("n1", NAME), ("n2", OTHER), ("n3", "third.test")):
        edge.nameserver.set(host, "A", records(ADDRESSES[0]))
        edge.add(name)
        edge.ask(f"set server edge/{name} fqdn {host}")
    wait_for(lambda: set(edge.addresses().values()) == {ADDRESSES[0]}, PATIENCE_SECONDS, "there")
    edge.ask("disable server edge/n1")
    edge.delete("n2")  # its slot is free, and the only one
    resolverd = edge.program.children()["resolverd"][0]
    with edge.program.stand_still(resolverd):
        late = "\nNot yet in force in resolverd, which does not answer.\n\n"
        assert edge.ask("del server edge/n1") == f"Server deleted.{late}"
        line = f"fourth.test:{edge.port_of_servers} resolvers r1 enabled"
        assert edge.ask(f"add server edge/n4 {line}") == f"New server registered.{late}"
        row = edge.program.servers("edge")["n4"]
        assert (row["srv_addr"], row["srv_fqdn"]) == ("-", "fourth.test")
        assert edge.ask(f"add server edge/n5 {line}").startswith("No slot is free")
    edge.nameserver.set("fourth.test", "A", records(ADDRESSES[1]))
    edge.wait(n3=ADDRESSES[0], n4=ADDRESSES[1])
    edge.add("n5")  # in the slot of the first, which resolverd has left
    edge.wait(n3=ADDRESSES[0], n4=ADDRESSES[1], n5=ADDRESSES[0])
