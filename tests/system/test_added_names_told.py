"""What operators are told of the names that only servers which were added at run time have."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

ADDED, DELETED = "New server registered.\n\n", "Server deleted.\n\n"
CONFIGURATION = """
global
    nbthread 1
    spare-servers 4
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
    hold valid 0s
frontend status
    mode http
    bind 127.0.0.1:{status}
    stats enable
    stats uri /
    stats show-legends
backend edge
    server file file.test:80 resolvers r1 init-addr none
"""


class Told(NamedTuple):
    """A program with a status page, and a nameserver."""

    program: Program
    nameserver: ScriptedNameserver
    status: int

    def page(self) -> str:
        """Its text without tags."""
        with socket.create_connection(("127.0.0.1", self.status), PATIENCE_SECONDS) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        return " ".join(re.sub(r"<[^>]+>", " ", said).split())

    def wait_page(self, text: str) -> str:
        def shown() -> str:
            page = self.page()
            return page if text in page else ""

        return wait_for(shown, PATIENCE_SECONDS, text)

    def add(self, name: str, host: str) -> None:
        order = f"add server edge/{name} {host}:80 resolvers r1 enabled"
        assert self.program.ask(order) == ADDED

    def delete(self, name: str) -> None:
        self.program.ask(f"disable server edge/{name}")
        assert self.program.ask(f"del server edge/{name}") == DELETED

    def wait_address(self, name: str, address: str) -> None:
        def there() -> bool:
            return self.program.servers("edge")[name]["srv_addr"] == address

        wait_for(there, PATIENCE_SECONDS, f"{name} at {address}")


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with ExitStack() as stack:
        nameserver, status = stack.enter_context(ScriptedNameserver()), free_port()
        nameserver.set("file.test", "A", records("127.0.1.1"))
        text = CONFIGURATION.format(nameserver=nameserver.address, status=status)
        yield Told(stack.enter_context(Program(tmp_path, text, "-W")), nameserver, status)


def test_a_name_of_the_file_that_only_an_added_server_keeps(told: Told) -> None:
    told.add("n1", "file.test")
    assert "origin        : configuration" in told.program.ask("show resolution file.test")
    told.delete("file")
    told.wait_address("n1", "127.0.1.1")
    assert "origin        : added server" in told.program.ask("show resolution file.test")
    told.add("n2", "file.test")  # one record, of which the row of the file says nothing any more
    told.wait_page("1 free slot")


def test_a_second_server_of_one_record_is_a_free_slot(told: Told) -> None:
    told.wait_page("Nothing is wrong.")
    told.add("n1", "one.test")
    page = told.wait_page("n1: it has no address")  # as long as the name has no record
    assert "name one.test asked for an added server: see" in page
    told.nameserver.set("one.test", "A", records("127.0.1.2"))
    told.wait_address("n1", "127.0.1.2")
    told.add("n2", "one.test")
    told.wait_page("1 free slot")
    assert "Nothing is wrong." in told.wait_page("Nothing is wrong.")
    told.add("n3", "file.test")  # whose record the file's server has
    told.wait_page("2 free slots")
    told.nameserver.set("one.test", "A", records())
    told.delete("n1")  # the other may wait for the hold now, or has its record
    told.delete("n2")
    told.add("n4", "two.test")  # in a slot of one of them
    told.wait_page("n4: it has no address")
    told.wait_page("1 free slot")


def test_one_with_the_name_of_a_server_of_the_files_and_another_address(told: Told) -> None:
    told.delete("file")
    told.add("file", "other.test")
    order = told.program.ask("show config diff").partition("server file other.test:80")[2]
    assert "a reload goes by them" in order.splitlines()[0]
    told.delete("file")
    told.add("file", "file.test")
    order = told.program.ask("show config diff").partition("server file file.test:80")[2]
    assert "the files say so by now" in order.splitlines()[0]
    told.delete("file")
    told.add("file", "other.test")
    told.program.process.send_signal(signal.SIGUSR2)
    line = (
        "server edge/file, added at run time with other.test:80, is in the files with "
        "file.test:80: it goes by these"
    )
    wait_for(lambda: line in told.program.output.read_text(), PATIENCE_SECONDS, "the log says so")
    told.wait_address("file", "127.0.1.1")
    assert "added at run time" not in told.program.output.read_text().replace(line, "")


def test_what_cannot_be_asked_is_refused(told: Told) -> None:
    assert told.program.ask("add server edge/n1 app.test:80 resolvers r2") == (
        "proxy 'edge', server 'n1': unable to find required resolvers 'r2'\n\n"
    )
    assert told.program.ask("add server edge/n1 _http._tcp.app.test resolvers r1") == (
        "the SRV name '_http._tcp.app.test' is not supported for a server that is added at run "
        "time: write a 'server-template' into the file and reload.\n\n"
    )
    assert told.program.ask("add server edge/n1 app.test:80 enabled") == (
        "the name 'app.test' is asked for only by nameservers of a 'resolvers' section: add "
        "'resolvers r1', or write its address.\n\n"
    )
    assert set(told.program.servers("edge")) == {"file"}
