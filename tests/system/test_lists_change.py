"""Acls and maps changed by the stats socket: what clients of two workers meet, as with HAProxy.

And in Millrace alone: processes that are killed meanwhile, and reloads.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.relay.test_relay_syscalls import SystemCalls
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.program.program import Program
from tests.support.servers import Server, named

pytestmark = pytest.mark.slow
HOSTS = range(2, 8)  # of clients: 127.0.0.<host>
CLIENTS_EACH = 3  # so that either worker has some
ADDS = 400
VISITS = 60
OF_CONNECTIONS = (  # system calls that clients cause
    *("accept4", "socket", "connect", "close", "recvfrom", "sendto", "read", "write", "splice"),
    *("setsockopt", "getsockopt", "getsockname", "getpeername", "epoll_ctl", "ioctl", "shutdown"),
    *("madvise", "mmap", "munmap"),
)
SECTIONS = """
frontend gate
  bind 127.0.0.1:GATE
  acl blocked src -f FILES/blocked 127.0.0.7
  tcp-request connection reject if blocked
  tcp-request content set-var(sess.to) src,map_ip(FILES/routes,b_one)
  use_backend %[src,map_ip(FILES/routes)] if { src,map_ip(FILES/routes) -m found }
  default_backend b_one
backend b_one
  server s 127.0.0.1:ONE
backend b_two
  server s 127.0.0.1:TWO
"""
GLOBAL = """global
  stats socket {} level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""
ORDERS = (
    "show map #2",
    "add acl FILES/blocked 127.0.0.3",
    "add acl FILES/blocked 127.0.0.4/31",
    "add map FILES/routes 127.0.0.2 b_two",
    "set map FILES/routes 127.0.0.6 b_two",
    "del acl FILES/blocked 127.0.0.3",
    "del acl #1 127.0.0.7",
    "add acl #1 127.0.0.6",
    "prepare map FILES/routes",
    "add map @1 FILES/routes 127.0.0.3 b_two",
    "add map @1 FILES/routes <<\n127.0.0.4/30 b_two\n127.0.0.5 b_one\n",
    "clear acl #1",
    "commit map @1 FILES/routes",
    "del map FILES/routes 127.0.0.5",
    "clear acl FILES/blocked",
    "clear map FILES/routes",
)


class Place:
    """The files, the servers and the ports."""

    def __init__(self, folder: Path, one: Server, two: Server) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        self.port = free_port()
        (self.files / "blocked").write_text("127.0.0.2\n")
        (self.files / "routes").write_text("127.0.0.6 b_one\n")
        self.sections = self.filled(SECTIONS)
        self.sections = self.sections.replace("GATE", str(self.port))
        self.sections = self.sections.replace("ONE", str(one.port)).replace("TWO", str(two.port))

    def filled(self, text: str) -> str:
        return text.replace("FILES", str(self.files))

    def met(self) -> list[str]:
        """What clients of each address meet, those of one all the same."""
        found = []
        for host in HOSTS:
            each = {self.visit(host) for _ in range(CLIENTS_EACH)}
            found.append("/".join(sorted(each)))
        return found

    def visit(self, host: int) -> str:
        """What one client meets."""
        with socket.socket() as client, suppress(ConnectionResetError):
            client.settimeout(PATIENCE_SECONDS)
            client.bind((f"127.0.0.{host}", 0))
            client.connect(("127.0.0.1", self.port))
            return client.recv(100).decode() or "refused"
        return "refused"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Server(named("one")) as one, Server(named("two")) as two:
        yield Place(tmp_path, one, two)


@contextmanager
def running(place: Place, folder: Path) -> Iterator[Program]:
    with Program(folder, GLOBAL.format("{socket}") + place.sections) as program:
        yield program


def story(program: OneProgram, place: Place) -> Iterator[tuple[str, str, list[str]]]:
    yield "", "", place.met()
    for order in ORDERS:
        told = re.sub(r"0x[0-9a-f]+", "0x", program.ask(place.filled(order)))
        yield order, told, place.met()


def test_clients_meet_what_they_meet_at_haproxy(place: Place, tmp_path: Path) -> None:
    stories = []
    for name, command in PROGRAMS.items():
        escaped = place.sections.replace("{", "{{").replace("}", "}}")
        with ExitStack() as stack:
            text = GLOBAL.format("{folder}/s") + escaped
            program = stack.enter_context(one_program(command(), tmp_path / name, text, {}))
            stories.append(list(story(program, place)))
    theirs, ours = stories
    assert ours == theirs
    assert len({tuple(met) for _, _, met in ours}) > 8


def test_what_was_answered_is_there_after_control_was_killed(place: Place, tmp_path: Path) -> None:
    with running(place, tmp_path) as program:
        name = place.filled("FILES/routes")
        answered: list[int] = []

        def add_many() -> None:
            for number in range(ADDS):
                with suppress(OSError):
                    order = f"add map {name} 10.0.{number >> 8}.{number & 255} b_two"
                    if program.ask(order) == "\n":
                        answered.append(number)

        adding = threading.Thread(target=add_many)
        adding.start()
        for killed in range(3):
            least = (killed + 1) * ADDS // 5
            wait_for(lambda least=least: len(answered) > least, PATIENCE_SECONDS, "orders")
            (control,) = program.children()["control"]
            os.kill(control, signal.SIGKILL)
        adding.join()
        wait_for(lambda: bool(program.ask("show info")), PATIENCE_SECONDS, "control")
        there = set(re.findall(r"10\.0\.\d+\.\d+", program.ask(f"show map {name}")))
        assert {f"10.0.{n >> 8}.{n & 255}" for n in answered} <= there
        assert len(there) <= len(answered) + 3
        program.ask(f"add map {name} 127.0.0.3 b_two")
        assert place.met() == ["refused", "two", "one", "one", "one", "refused"]


def test_a_worker_that_follows_another_looks_up_in_the_changed_list(
    place: Place, tmp_path: Path
) -> None:
    with running(place, tmp_path) as program:
        changed = ["one", "refused", "one", "one", "one", "refused"]
        program.ask(place.filled("add acl FILES/blocked 127.0.0.3"))
        program.ask(place.filled("del acl FILES/blocked 127.0.0.2"))
        assert place.met() == changed
        former = set(program.children()["worker"])
        for pid in former:
            os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: len(set(program.children().get("worker", [])) - former) == len(former),
            PATIENCE_SECONDS,
            "other workers",
        )
        assert place.met() == changed
        for _ in range(50):  # memory that the dead ones may have looked at is free again
            program.ask(place.filled("clear map FILES/routes"))
        assert place.met() == changed


def test_a_reload_reads_the_files_anew(place: Place, tmp_path: Path) -> None:
    with running(place, tmp_path) as program:
        asked = place.met()
        program.ask(place.filled("clear acl FILES/blocked; clear acl #1"))
        assert place.met() == ["one"] * len(HOSTS)
        program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: "reload done" in program.output.read_text(), PATIENCE_SECONDS, "the reload"
        )
        assert place.met() == asked
        assert "127.0.0.7" in program.ask_until_answered("show acl #1")


def calls_of_visits(place: Place, program: Program, folder: Path) -> Counter[str]:
    """System calls of both workers while some clients are served."""
    folder.mkdir()
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        watched = []
        for pid in program.children()["worker"]:
            (folder / str(pid)).mkdir()
            watched.append(stack.enter_context(SystemCalls(pid, folder / str(pid))))
        for _ in range(VISITS):
            assert place.visit(5) == "one"
        stack.close()
        for each in watched:
            counted += each.counts
    return Counter({name: counted[name] for name in OF_CONNECTIONS})


def test_a_changed_list_costs_a_connection_no_system_call(place: Place, tmp_path: Path) -> None:
    with running(place, tmp_path) as program:
        before = calls_of_visits(place, program, tmp_path / "before")
        program.ask(place.filled("add acl FILES/blocked 127.0.0.3"))
        program.ask(place.filled("add map FILES/routes 127.0.0.3 b_two"))
        assert before["accept4"] >= VISITS
        after = calls_of_visits(place, program, tmp_path / "after")
    assert sum(after.values()) < sum(before.values()) + VISITS // 2, (before, after)


def test_lists_stay_as_they_are_where_there_are_no_addresses_for_others(
    place: Place, tmp_path: Path
) -> None:
    configuration = GLOBAL.format("{socket}") + place.sections
    limited = ("sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh")
    with Program(tmp_path, configuration, wrapper=limited) as program:
        told = program.ask(place.filled("add acl FILES/blocked 127.0.0.3"))
        assert told.startswith("The kernel refused the memory")
        assert place.met() == ["refused", "one", "one", "one", "one", "refused"]
        told = "lists cannot be changed by the stats socket"
        wait_for(lambda: told in program.output.read_text(), PATIENCE_SECONDS, told)
