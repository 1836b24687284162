"""What operators are told of the names that only servers which were added at run time have."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver, records
from tests.support.program.program import Program, in_force

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
    http-request use-service prometheus-exporter if {{ path /metrics }}
backend edge
    server file file.test:80 resolvers r1 init-addr none
"""


class Told(NamedTuple):
    """A program with a status page, and a nameserver."""

    program: Program
    nameserver: ScriptedNameserver
    status: int

    def page(self, path: str = "/") -> str:
        """Its text without tags."""
        with socket.create_connection(("127.0.0.1", self.status), PATIENCE_SECONDS) as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            said = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        return " ".join(re.sub(r"<[^>]+>", " ", said).split())

    def wait_page(self, text: str) -> str:
        def shown() -> str:
            page = self.page()
            return page if text in page else ""

        return wait_for(shown, PATIENCE_SECONDS, text)

    def metrics(self) -> str:
        with socket.create_connection(("127.0.0.1", self.status), PATIENCE_SECONDS) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()

    def wait_metrics(self, text: str) -> str:
        def shown() -> str:
            found = self.metrics()
            return found if text in found else ""

        return wait_for(shown, PATIENCE_SECONDS, text)

    def runs(self, labels: str) -> int:
        """How many runs for a name have ended."""
        return int(
            self.metrics().partition(f"millrace_resolution_runs_total{labels} ")[2].split()[0]
        )

    def kill_resolverd(self) -> None:
        os.kill(self.program.children()["resolverd"][0], signal.SIGKILL)

    def add(self, name: str, host: str) -> None:
        order = f"add server edge/{name} {host}:80 resolvers r1 enabled"
        assert in_force(self.program.ask(order)) == ADDED

    def delete(self, name: str) -> None:
        self.program.ask(f"disable server edge/{name}")
        assert in_force(self.program.ask(f"del server edge/{name}")) == DELETED

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
    told.wait_page("n1: it has no address")  # as long as the name has no record
    told.wait_page("name one.test (r1): the last run ended with nx")
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


def test_added_names_have_rows_as_those_of_the_files(told: Told) -> None:
    told.nameserver.set("one.test", "A", records("127.0.1.2", "127.0.1.3"))
    for name in ("n1", "n2"):
        told.add(name, "one.test")
    rows = told.program.servers
    wait_for(
        lambda: (
            {rows("edge")[name]["srv_addr"] for name in ("n1", "n2")} == {"127.0.1.2", "127.0.1.3"}
        ),
        PATIENCE_SECONDS,
        "both have an address",
    )
    told.add("n3", "file.test")
    row = "one.test r1 ipv4 valid 2 2 0"  # records, servers used, records left over
    page = told.wait_page(row)
    assert page.count("one.test r1") == 1
    assert page.count("file.test r1") == 1
    labels = '{resolver="r1",name="one.test",preferred="ipv4"}'
    assert f"millrace_resolution_records{labels} 2" in told.metrics()
    assert "name        : one.test (resolvers r1, A)" in told.program.ask("show why edge/n1")
    resolverd = told.program.children()["resolverd"][0]
    with told.program.stand_still(resolverd):  # what is told now is of the segment
        summaries = json.loads(told.program.ask("show resolution json"))
    found = {each["name"]: each for each in summaries}
    assert found.keys() == {"file.test", "one.test"}
    wanted = {"origin": "added server", "servers": 2, "used": 2, "live": False}
    assert {field: found["one.test"][field] for field in wanted} == wanted
    page = told.page("/?name=one.test")
    assert "edge/n1 has 127.0.1." in page
    assert "edge/n2 has 127.0.1." in page
    assert "one.test r1 ipv4 valid 2 2 0" in page
    for name in ("n1", "n2"):
        assert "name one.test last run valid" in told.page(f"/?server=edge/{name}")
    told.delete("n1")  # the record of the name was in its row
    told.wait_page("one.test r1 ipv4 valid 2 1 1")
    told.kill_resolverd()
    assert f"millrace_resolution_records{labels} 2" in told.wait_metrics(
        f"millrace_resolution_slots_used{labels} 1"
    )
    told.add("n4", "one.test")
    told.delete("n2")
    told.wait_page("one.test r1 ipv4 valid 2 1 1")
    told.program.ask("set server edge/n4 fqdn other.test")
    wait_for(lambda: "one.test" not in told.metrics(), PATIENCE_SECONDS, "no name, no row")
    told.program.ask("set server edge/n4 fqdn one.test")
    told.wait_page("one.test r1 ipv4 valid 2 1 1")
    told.delete("n4")
    wait_for(lambda: "one.test" not in told.metrics(), PATIENCE_SECONDS, "it has gone")
    told.delete("file")  # whose record is that of the files
    told.wait_page("file.test r1 ipv4 valid 1 1 0")
    told.nameserver.set("file.test", "A", records())
    told.wait_page("name file.test (r1): the last run ended with no")
    told.add("n5", "two.test")  # in a slot of a former one
    told.wait_page("two.test r1 ipv4 nx")


def test_a_record_goes_on_where_the_files_have_the_name_by_then(told: Told) -> None:
    told.nameserver.set("one.test", "A", records("127.0.1.2", "127.0.1.3"))
    for name in ("n1", "n2"):
        told.add(name, "one.test")
    told.wait_page("one.test r1 ipv4 valid 2 2 0")
    told.delete("n1")
    told.wait_page("one.test r1 ipv4 valid 2 1 1")
    told.nameserver.set("one.test", "A", replace(records(), silent=True))
    labels = '{resolver="r1",name="one.test",preferred="ipv4"}'
    runs = told.runs(labels)
    assert runs > 1
    line = "    server n2 one.test:80 resolvers r1 init-addr none\n"
    told.program.write(told.program.file.read_text() + line)
    told.program.process.send_signal(signal.SIGUSR2)
    done = "reload done"
    wait_for(lambda: done in told.program.output.read_text(), PATIENCE_SECONDS, done)
    assert told.runs(labels) >= runs
    assert "one.test r1 ipv4 starting" not in told.page()


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
    assert told.program.ask("add server edge/n1 app.test:80 enabled") == (
        "the name 'app.test' is asked for only by nameservers of a 'resolvers' section: add "
        "'resolvers r1', or write its address.\n\n"
    )
    assert set(told.program.servers("edge")) == {"file"}
