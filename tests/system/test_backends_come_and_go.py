"""Backends are added, published, unpublished and deleted while clients come and processes die."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program, greet, in_force, who_answers

pytestmark = pytest.mark.slow
HOST, BASE, OTHER, THIRD = (f"127.44.51.{last}" for last in (1, 2, 3, 4))
ADDED, DELETED = "New backend registered.\n\n", "Backend deleted.\n\n"
PUBLISHED, UNPUBLISHED = "Backend published.\n\n", "Backend unpublished.\n\n"
DOOR, SWITCHED, STATISTICS = "door", "switched", "statistics"
CONFIGURATION = """
global
  nbthread 2
  spare-backends 2
  spare-servers 4
  stats socket {{socket}} level admin
  log stdout format raw local0
defaults plain
  mode tcp
  log global
  option tcplog
  timeout connect 5s
  timeout client 100s
  timeout server 100s
defaults ruled
  mode tcp
  tcp-request content accept
defaults fixed
  mode tcp
  balance static-rr
frontend door from plain
  bind {host}:{door}
  use_backend %[src,map({map})]
  default_backend base
frontend switched from plain
  bind {host}:{switched}
  use_backend other
  use_backend third if {{ always_true }}
  default_backend base
listen own from plain
  bind {host}:{own}
  server o {base}:{port}
frontend statistics from plain
  mode http
  bind {host}:{statistics}
  stats enable
  http-request use-service prometheus-exporter if {{ path /metrics }}
backend base from plain
  server a {base}:{port}
backend other from plain
  server b {other}:{port}
backend third from plain
  server c {third}:{port}
{more}
"""


class Edge:
    """A program, its servers, and its clients."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.port = 0
        for address in (BASE, OTHER, THIRD):
            backend = NamedBackend(address, self.port)
            self.port = backend.port
            stack.callback(backend.close)
        self.ports = {name: free_port() for name in (DOOR, SWITCHED, "own", STATISTICS)}
        self.map = folder / "names"
        self.map.write_text("127.0.0.1 new\n")
        self.program = stack.enter_context(Program(folder, self.text()))

    def text(self, more: str = "") -> str:
        addresses = {"host": HOST, "base": BASE, "other": OTHER, "third": THIRD}
        return CONFIGURATION.format(
            map=self.map, port=self.port, more=more, **addresses, **self.ports
        )

    def ask(self, command: str) -> str:
        """The answer, of a successor if control was killed before it gave one."""
        return self.program.ask_until_answered(command)

    def who(self, door: str = DOOR) -> str | None:
        return who_answers((HOST, self.ports[door]))

    def fill(self, name: str, address: str = OTHER) -> None:
        """Add a backend with a server, and let rules lead there."""
        assert in_force(self.ask(f"add backend {name} from plain")) == ADDED
        assert self.ask(f"add server {name}/s {address}:{self.port} enabled").startswith("New")
        assert self.ask(f"publish backend {name}") == PUBLISHED

    def empty(self, name: str) -> str:
        """Take its server and itself away; the last answer."""
        self.ask(f"unpublish backend {name}")
        self.ask(f"disable server {name}/s")
        self.ask(f"wait 100s srv-removable {name}/s")
        self.ask(f"del server {name}/s")
        assert self.ask(f"wait 100s be-removable {name}") == "Done.\n\n"
        return self.ask(f"del backend {name}")

    def row(self, name: str) -> dict[str, str]:
        """Its BACKEND row of `show stat`."""
        lines = [line.split(",") for line in self.ask(f"show stat {name} 2 -1").splitlines()]
        return dict(zip(lines[0], lines[1], strict=False))

    def read(self, path: str) -> str:
        where = f"http://{HOST}:{self.ports[STATISTICS]}{path}"
        with urllib.request.urlopen(where, timeout=PATIENCE_SECONDS) as response:
            return str(response.read(), "utf-8")

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    def kill(self, kind: str) -> None:
        """Kill one; returns when another is there."""
        killed = self.program.children()[kind][0]
        os.kill(killed, signal.SIGKILL)
        self.until(
            lambda: killed not in self.program.titled_children().get(kind, [killed]),
            f"another {kind}",
        )
        self.program.wait_until_answering()

    def reload(self) -> None:
        before = self.told.count("reload done")
        self.program.process.send_signal(signal.SIGUSR2)
        self.until(lambda: self.told.count("reload done") > before, "the reload")

    def until(self, holds: Callable[[], object], what: str) -> None:
        wait_for(holds, PATIENCE_SECONDS, what)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield Edge(tmp_path, stack)


def test_one_takes_clients_from_its_publication_to_its_end(edge: Edge) -> None:
    assert edge.who() == BASE
    assert in_force(edge.ask("add backend new from plain mode tcp")) == ADDED
    assert edge.ask(f"add server new/s {OTHER}:{edge.port} enabled").startswith("New server")
    assert edge.who() == BASE  # nothing leads to it
    assert edge.ask("show why new").startswith("new takes no new sessions: it is not published")
    assert edge.ask("publish backend new") == PUBLISHED
    assert [edge.who() for _ in range(3)] == [OTHER] * 3
    assert edge.row("new")["stot"] == "3"
    assert "\nnew\n" in edge.ask("show backend")
    assert edge.ask("show why").startswith("All servers take new sessions")
    edge.until(lambda: edge.told.count(" door new/s ") == 3, "their lines in the log")
    assert 'haproxy_backend_sessions_total{proxy="new"} 3' in edge.read("/metrics")
    assert "new" in edge.read("/haproxy?stats;csv")
    greeted = greet((HOST, edge.ports[DOOR]))
    assert greeted is not None
    with greeted[1] as session:
        # one that is as young as the question is left out
        edge.until(lambda: " be=new srv=s " in edge.ask("show sess"), "its session is shown")
        assert edge.ask("del backend new").startswith("Backend is published")
        assert edge.ask("unpublish backend new") == UNPUBLISHED
        assert edge.who() == BASE
        assert edge.ask("del backend new").startswith("Backend still has servers")
        session.sendall(b"x")
        assert session.recv(1) == b"x"  # its session stays
    assert in_force(edge.empty("new")) == DELETED
    assert edge.ask("show backend").split() == ["#", "name", "own", "base", "other", "third"]
    assert "new" not in edge.read("/haproxy?stats;csv")
    assert edge.ask("publish backend new") == "No such backend.\n\n"


def test_the_next_one_begins_with_nothing(edge: Edge) -> None:
    for number in range(6):  # of two spare ones
        name = f"new{number}"
        edge.map.write_text(f"127.0.0.1 {name}\n")
        edge.ask(f"set map {edge.map} 127.0.0.1 {name}")
        edge.fill(name, (OTHER, THIRD)[number % 2])
        assert edge.row(name)["stot"] == "0"
        assert edge.who() == (OTHER, THIRD)[number % 2]
        assert edge.row(name)["stot"] == "1"
        if number > 3:  # a successor of control knows only what the segment has
            edge.kill("control")
            assert edge.row(name)["stot"] == "1"
        assert in_force(edge.empty(name)) == DELETED
        assert edge.who() == BASE
    assert "Traceback" not in edge.told


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("add backend", "'add backend' expects <name> from <defaults>"),
        ("add backend x plain", "'add backend' expects <name> from <defaults>"),
        ("add backend x from plain mode http", "'add backend' expects <name> from <defaults>"),
        ("add backend x/y from plain", "is not permitted in backend name"),
        ("add backend base from plain", "Already exists a section with the same name."),
        ("add backend door from plain", "Already exists a section with the same name."),
        (f"add backend {'x' * 256} from plain", "The name of a backend has at most 255 bytes."),
        ("add backend x from nowhere", "No backend can be added from 'nowhere'"),
        ("add backend x from ruled", "No backend can be added from 'ruled'"),
        ("add backend x from fixed", "No backend can be added from 'fixed'"),
        ("del backend base", "Only backends that were added at run time can be deleted."),
        ("del backend nobody", "No such backend."),
        ("publish backend", "Require a backend."),
        ("publish backend own", "A 'listen' section serves clients of its own"),
        ("wait 1s be-removable base", "Only backends that were added at run time"),
        ("wait 1s be-removable", "'be-removable' expects <backend>."),
        ("publish backend spare backend 1 from plain", "Require a backend."),
    ],
)
def test_what_cannot_be_done_is_refused(edge: Edge, order: str, says: str) -> None:
    assert says in edge.ask(order)
    assert edge.ask("show backend").split()[2:] == ["own", "base", "other", "third"]


def test_there_are_as_many_as_spare_ones(edge: Edge) -> None:
    for name in ("x", "y"):
        assert in_force(edge.ask(f"add backend {name} from plain")) == ADDED
    full = edge.ask("add backend z from plain")
    assert full.startswith("All 2 spare backends of defaults section plain have a name")
    assert in_force(edge.ask("del backend x")) == DELETED
    worker = edge.program.children()["worker"][0]
    with edge.program.stand_still(worker):  # it goes by nothing: what it has is not used again
        assert edge.ask("add backend z from plain") == full
        assert "worker 0, which does not answer" in edge.ask("del backend y")
    edge.until(lambda: in_force(edge.ask("add backend z from plain")) == ADDED, "it goes by it")


def test_its_configuration_is_shown_as_a_file_may_have_it(edge: Edge) -> None:
    assert edge.ask("show config new") == "No such section.\n\n"
    edge.fill("new", OTHER)
    edge.ask("set weight new/s 7")
    shown = edge.ask("show config new").splitlines()
    assert shown[1].startswith("backend new from plain  # added by uid 0")
    assert shown[2].startswith("    # now: state unpublished -> published, by uid 0")
    assert shown[3].startswith(f"    server s {OTHER}:{edge.port} enabled  # added by uid 0")
    assert shown[4].startswith("    # now: server s weight 1 -> 7, by uid 0")
    whole = edge.ask("show config").splitlines()
    assert shown[1:5] == whole[whole.index(shown[1]) :][:4]
    assert "\n".join(shown[1:]) in edge.ask("show config backend")


def test_rules_and_a_default_that_lead_to_an_unpublished_one_are_passed_over(edge: Edge) -> None:
    assert edge.who(SWITCHED) == OTHER
    assert edge.ask("unpublish backend other") == UNPUBLISHED
    assert edge.who(SWITCHED) == THIRD
    edge.ask("unpublish backend third")
    assert edge.who(SWITCHED) == BASE
    edge.ask("unpublish backend base")
    assert edge.who(SWITCHED) is None
    edge.until(lambda: " switched switched/<NOSRV> " in edge.told, "its line in the log")
    assert edge.who() is None
    assert edge.ask("show config diff").count("unpublished") == 3
    idle = edge.ask("show why")
    assert "base takes no new sessions: it is not published (publish backend)\n" in idle
    said = edge.ask("show why base/a").splitlines()[0]
    assert said == "base/a takes no new sessions: its backend is not published (publish backend)."
    edge.ask("publish backend third")
    assert edge.who(SWITCHED) == THIRD
    edge.reload()  # what files say
    edge.until(lambda: edge.who(SWITCHED) == OTHER, "a client of the new generation")
    for name in ("base", "other"):
        line = f"backend {name}, unpublished at run time, is published again"
        edge.until(lambda line=line: line in edge.told, "the log says so")


def test_all_processes_and_their_successors_go_by_it(edge: Edge) -> None:
    edge.fill("new")
    for kind in ("worker", "worker", "control", "resolverd"):
        if kind in edge.program.children():
            edge.kill(kind)
        assert {edge.who() for _ in range(4)} == {OTHER}
        assert int(edge.row("new")["stot"]) >= 4
    edge.until(lambda: " door new/s " in edge.told.splitlines()[-1], "the line of a successor")
    assert in_force(edge.empty("new")) == DELETED
    edge.kill("control")
    edge.kill("worker")
    assert edge.who() == BASE
    edge.fill("new", THIRD)
    assert {edge.who() for _ in range(4)} == {THIRD}


def test_a_reload_keeps_what_the_file_has_by_then(edge: Edge) -> None:
    edge.fill("new")
    edge.fill("gone")
    old = greet((HOST, edge.ports[DOOR]))
    assert old is not None
    assert old[0] == OTHER
    added = f"backend new from plain\n  server s {OTHER}:{edge.port}\n"
    edge.program.write(edge.text(added))
    with old[1] as session:
        edge.reload()
        assert " be=new srv=s " in edge.ask("show sess")  # of the old generation
        session.sendall(b"x")
        assert session.recv(1) == b"x"
    before = int(edge.row("new")["stot"])
    assert edge.who() == OTHER
    assert int(edge.row("new")["stot"]) == before + 1 == 2
    gone = "backend gone, added at run time, is not in the files: it is gone"
    edge.until(lambda: gone in edge.told, "the log says so")
    assert "backend new, added at run time" not in edge.told
    assert edge.ask("del backend new").startswith("Only backends that were added")
    edge.fill("gone")
    assert edge.ask("show servers state gone").count("\n4 ") <= 1


def test_orders_at_the_same_time_give_each_name_once(edge: Edge) -> None:
    def asked(order: str) -> socket.socket:
        client = edge.stack.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(str(edge.program.socket_path))
        client.sendall(order.encode() + b"\n")
        return client

    for _ in range(5):
        clients = [asked("add backend same from plain") for _ in range(6)]
        answers = [b"".join(iter(lambda c=c: c.recv(4096), b"")).decode() for c in clients]
        taken = "Already exists a section with the same name.\n\n"
        assert sorted(answers) == sorted([ADDED] + [taken] * 5)
        assert in_force(edge.ask("del backend same")) == DELETED
    assert not re.search(r"Traceback|KeyError", edge.told)
