"""Servers of an SRV label are added and deleted at run time: each has a record of its answers."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import NX, ScriptedNameserver, records, services
from tests.support.program.program import Program, in_force
from tests.support.servers import Server

pytestmark = pytest.mark.slow

ADDED = "New server registered.\n\n"
DELETED = ("Server deleted.\n\n", "No such server.\n\n")  # the second: by a control that was killed
LABEL, LABEL_OF_FILES = "_http._tcp.app.test", "_http._tcp.own.test"
ADDRESSES = tuple(f"127.0.3.{number}" for number in range(1, 5))
CONFIGURATION = """
global
    nbthread 2
    spare-servers 3
    stats socket {{socket}} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 100ms
    timeout retry 100ms
    hold obsolete 0s
    hold nx 0s
listen edge
    bind 127.0.0.1:{port}
    server-template t 2 {label} resolvers r1 init-addr none
"""


class Edge(NamedTuple):
    """A program, a nameserver, and servers at ADDRESSES."""

    program: Program
    nameserver: ScriptedNameserver
    port: int
    port_of_servers: int
    text: Callable[[], str]

    def ask(self, command: str) -> str:
        """The answer, of a successor if control was killed before it gave one."""
        return self.program.ask_until_answered(command)

    def say(self, label: str, *numbers: int, weight: int = 0) -> None:
        """The label has these servers, their addresses beside them."""
        said = [f"{weight} {self.port_of_servers} h{number}.test" for number in numbers]
        hosts = {f"h{number}_test": ADDRESSES[number] for number in numbers}
        self.nameserver.set(label, "SRV", services(*said, **hosts))

    def add(self, name: str, label: str = LABEL, words: str = "enabled") -> None:
        assert ADDED.strip() in self.ask(f"add server edge/{name} {label} resolvers r1 {words}")

    def delete(self, name: str) -> None:
        self.ask(f"disable server edge/{name}")
        wait_for(
            lambda: in_force(self.ask(f"del server edge/{name}")) in DELETED,
            PATIENCE_SECONDS,
            "deleted",
        )

    def addresses(self) -> dict[str, str]:
        """Of the servers that have one."""
        rows = self.program.servers("edge").items()
        return {name: row["srv_addr"] for name, row in rows if row["srv_addr"] != "-"}

    def wait(self, names: str, *numbers: int) -> dict[str, int]:
        """Return who has which, when these servers and no others have one each of these."""
        among = {ADDRESSES[number]: number for number in numbers}

        def as_wanted() -> dict[str, int]:
            with suppress(OSError, ValueError, KeyError, IndexError):
                found = {name: among[each] for name, each in self.addresses().items()}
                if sorted(found) == names.split() and len({*found.values()}) == len(found):
                    return {"": -1, **found}
            return {}

        found = wait_for(as_wanted, PATIENCE_SECONDS, f"{names} have {numbers}")
        del found[""]
        return found

    def who(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            return client.recv(20).decode()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        nameserver = stack.enter_context(ScriptedNameserver())
        port, port_of_servers = free_port(), free_port()
        for address in ADDRESSES:

            def greet(connection: socket.socket, address: str = address) -> None:
                connection.sendall(address.encode())
                connection.recv(1)

            stack.enter_context(Server(greet, address, port_of_servers))

        def text() -> str:
            return CONFIGURATION.format(
                nameserver=nameserver.address, port=port, label=LABEL_OF_FILES
            )

        program = stack.enter_context(Program(tmp_path, text(), "-W"))
        yield Edge(program, nameserver, port, port_of_servers, text)


def test_each_added_server_has_a_record_and_the_label_goes_with_the_last(edge: Edge) -> None:
    edge.say(LABEL, 0, 1)
    edge.add("n1")
    first = edge.wait("n1", 0, 1)["n1"]
    assert edge.who() == ADDRESSES[first]
    edge.add("n2")
    assert edge.wait("n1 n2", 0, 1)["n1"] == first
    row = edge.program.servers("edge")["n2"]
    assert (row["srv_port"], row["srvrecord"]) == (str(edge.port_of_servers), LABEL)
    edge.add("n3")  # there is no third record
    shown = [line for line in edge.program.ask("show resolution").splitlines() if LABEL in line]
    assert len(shown) == 1
    account = edge.program.ask(f"show resolution {LABEL}")
    assert "origin        : added server" in account
    assert "held by edge/n1" in account
    edge.wait("n1 n2", 0, 1)
    edge.delete("n1")
    edge.wait("n2 n3", 0, 1)  # the record is not without a server while one is free
    edge.say(LABEL, 3, 1)
    edge.wait("n2 n3", 1, 3)
    edge.delete("n2")
    edge.delete("n3")
    assert LABEL not in edge.program.ask("show resolution")
    asked = len(edge.nameserver.asked(LABEL))
    edge.nameserver.wait_queries(len(edge.nameserver.asked(LABEL_OF_FILES)) + 3, LABEL_OF_FILES)
    assert len(edge.nameserver.asked(LABEL)) == asked


def test_an_added_server_shares_the_label_of_the_files(edge: Edge) -> None:
    edge.say(LABEL_OF_FILES, 0, 1, 2)
    before = edge.wait("t1 t2", 0, 1, 2)
    edge.add("n1", LABEL_OF_FILES)
    after = edge.wait("n1 t1 t2", 0, 1, 2)
    assert before.items() < after.items()
    gone = after["t1"]
    edge.say(LABEL_OF_FILES, *({0, 1, 2, 3} - {gone}))
    assert edge.wait("n1 t1 t2", *({0, 1, 2, 3} - {gone})) == {**after, "t1": 3}
    edge.delete("n1")
    edge.wait("t1 t2", after["t2"], 3)
    account = edge.program.ask(f"show resolution {LABEL_OF_FILES}")
    assert "origin        : configuration" in account
    assert "2 of 2 used, 3 records, 1 without a server" in account


def test_targets_without_an_address_are_asked_for_and_dropped(edge: Edge) -> None:
    edge.nameserver.set(LABEL, "SRV", services(f"0 {edge.port_of_servers} far.test"))
    edge.nameserver.set("far.test", "A", records(ADDRESSES[2]))
    edge.add("n1")
    edge.wait("n1", 2)
    edge.nameserver.set("far.test", "A", records(ADDRESSES[3]))
    edge.wait("n1", 3)
    assert edge.who() == ADDRESSES[3]
    edge.delete("n1")
    assert "far.test" not in edge.program.ask("show resolution")


def test_a_label_that_is_denied_takes_the_addresses_away(edge: Edge) -> None:
    edge.say(LABEL, 0)
    edge.add("n1")
    edge.wait("n1", 0)
    edge.nameserver.set(LABEL, "SRV", NX)
    edge.wait("")
    edge.say(LABEL, 1)
    edge.wait("n1", 1)


@pytest.mark.parametrize("kind", ["worker", "control", "resolverd"])
def test_a_process_is_killed_after_each_step(edge: Edge, kind: str) -> None:
    def kill() -> None:
        found = wait_for(lambda: edge.program.children().get(kind), PATIENCE_SECONDS, kind)
        os.kill(found[0], signal.SIGKILL)

    for turn in range(2):
        edge.say(LABEL, turn, turn + 1)
        edge.add("n1")
        kill()
        edge.add("n2")
        before = edge.wait("n1 n2", turn, turn + 1)
        kill()
        edge.program.wait_until_answering()
        edge.say(LABEL, turn + 1, turn + 2)
        [kept] = [name for name, number in before.items() if number == turn + 1]
        assert edge.wait("n1 n2", turn + 1, turn + 2)[kept] == turn + 1
        edge.delete("n1")
        kill()
        edge.delete("n2")
        kill()
        edge.wait("")
        edge.program.wait_until_answering()
        wait_for(
            lambda: LABEL not in edge.program.ask("show resolution"), PATIENCE_SECONDS, "dropped"
        )


def test_a_successor_of_resolverd_moves_no_server(edge: Edge) -> None:
    edge.say(LABEL, 0, 1, 2)
    for name in ("n1", "n2", "n3"):
        edge.add(name)
    before = edge.wait("n1 n2 n3", 0, 1, 2)

    def moves() -> int:
        return edge.program.ask("show events state").count("IP changed from")

    wait_for(lambda: moves() == len(before), PATIENCE_SECONDS, "behind the records, their lines")
    asked = len(edge.nameserver.asked(LABEL))
    os.kill(edge.program.children()["resolverd"][0], signal.SIGKILL)
    edge.nameserver.wait_queries(asked + 3, LABEL)
    assert edge.wait("n1 n2 n3", 0, 1, 2) == before
    assert moves() == len(before)


def test_a_reload_keeps_what_the_files_have_by_then(edge: Edge) -> None:
    edge.say(LABEL, 0, 1)
    edge.add("n1")
    edge.add("n2")
    before = edge.wait("n1 n2", 0, 1)
    line = f"    server n1 {LABEL} resolvers r1 init-addr none\n"
    edge.program.write(edge.text() + line)
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(
        lambda: "reload done" in edge.program.output.read_text(), PATIENCE_SECONDS, "the reload"
    )
    assert edge.wait("n1", 0, 1) == {"n1": before["n1"]}


def test_without_a_section_a_label_is_refused(edge: Edge) -> None:
    assert edge.ask(f"add server edge/n1 {LABEL}") == (
        f"the name '{LABEL}' is asked for only by nameservers of a 'resolvers' section: add "
        "'resolvers r1', or write its address.\n\n"
    )
