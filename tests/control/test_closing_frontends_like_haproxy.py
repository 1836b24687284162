"""Frontends that are closed and opened, and limits that change, by orders: HAProxy and Millrace.

One program of each kind serves all cases; a case has a frontend of its own.
"""

from __future__ import annotations

import csv
import io
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.program.program import NamedBackend, Program, greet, who_answers

NAMES = ("fe", "li", "path", "limited", "shut", "busy")
CONFIGURATION = """
global
  nbthread 2
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  default_backend be
frontend fe
  bind 127.0.0.1:{fe}
  bind 127.0.0.1:{fe_second}
listen li
  bind 127.0.0.1:{li}
  server s 127.0.0.1:{backend}
frontend path
  bind unix@{{folder}}/path
frontend limited
  bind 127.0.0.1:{limited}
frontend shut
  bind 127.0.0.1:{shut}
frontend busy
  bind 127.0.0.1:{busy}
backend be
  server s 127.0.0.1:{backend}
"""
ORDERS = (
    "disable frontend;enable frontend;shutdown frontend",
    "disable frontend nope;enable frontend nope;shutdown frontend nope;disable frontend be",
    "enable frontend fe;disable frontend fe;disable frontend fe;enable frontend fe",
    "disable frontend li;disable frontend #4;enable frontend li",
    "disable frontend path;disable frontend path;enable frontend path;enable frontend path",
    "disable frontend shut;shutdown frontend shut;shutdown frontend shut;disable frontend shut",
    "enable frontend shut",
    "operator;disable frontend fe;enable frontend fe;shutdown frontend fe",
    "operator;set maxconn frontend fe 3;set maxconn global 3;set rate-limit sessions global 3",
    "set maxconn frontend;set maxconn frontend nope;set maxconn frontend nope 3",
    "set maxconn frontend limited;set maxconn frontend limited -1;set maxconn frontend limited 5",
    "set maxconn global;set maxconn global 100000000;set maxconn global 50;set maxconn global 0",
    "set rate-limit sessions global;set rate-limit sessions global -1",
    "set rate-limit connections global 10;set rate-limit connections global 0",
)


class Case:
    """A running program, and where its frontends are."""

    def __init__(self, made: OneProgram, ports: dict[str, int]) -> None:
        self.made = made
        self.ports = ports

    def target(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", self.ports[name]

    def refuses(self, name: str) -> bool:
        with socket.socket() as client:
            return client.connect_ex(self.target(name)) != 0

    def status(self, name: str) -> str:
        rows = csv.DictReader(io.StringIO(self.made.ask(f"show stat {name} 1 -1").lstrip("# ")))
        return next(rows)["status"]


@contextmanager
def started(name: str, folder: Path, backend: int) -> Iterator[Case]:
    names = (*NAMES, "fe_second")
    ports = {frontend: free_port() for frontend in names if frontend != "path"}
    text = CONFIGURATION.format(backend=backend, **ports)
    with one_program(PROGRAMS[name](), folder / name, text, {}) as made:
        yield Case(made, ports)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Case]]:
    folder = tmp_path_factory.mktemp("closing")
    with closing(NamedBackend("127.0.0.1", 0)) as backend, ExitStack() as stack:
        yield [stack.enter_context(started(name, folder, backend.port)) for name in PROGRAMS]


@pytest.mark.parametrize("orders", ORDERS)
def test_orders_are_answered_in_the_same_text(cases: list[Case], orders: str) -> None:
    if orders == "enable frontend shut":
        for case in cases:
            case.made.ask("shutdown frontend shut")
    severe = f"set severity-output number;{orders}"
    theirs, ours = (case.made.ask(severe) for case in cases)
    without = [line for line in theirs.splitlines() if "ssl-" not in line and "http-c" not in line]
    assert ours.splitlines() == without
    theirs_now, ours_now = ({name: case.status(name) for name in NAMES} for case in cases)
    assert ours_now == theirs_now


def test_a_disabled_frontend_lets_go_of_its_port_and_takes_it_back(cases: list[Case]) -> None:
    for case in cases:
        ask = case.made.ask
        assert who_answers(case.target("busy")) is not None
        greeted = greet(case.target("busy"))
        assert greeted is not None
        with greeted[1] as connection:
            assert ask("disable frontend busy") == "\n"
            assert case.refuses("busy")
            assert case.status("busy") == "PAUSED"
            connection.sendall(b"still\n")
            assert connection.recv(100) == b"still\n"
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(case.target("busy"))
            other.listen()
            told = "Failed to resume frontend, check logs for precise cause (port conflict?).\n\n"
            assert ask("enable frontend busy") == told
            assert case.status("busy") == "PAUSED"
        assert ask("enable frontend busy") == "\n"
        assert {who_answers(case.target("busy")) for _ in range(8)} == {"127.0.0.1"}
        assert case.status("busy") == "OPEN"


def test_what_is_done_is_logged_alike(cases: list[Case]) -> None:
    found = []
    for case in cases:
        case.made.read()
        case.made.lines.clear()
        for order in ("disable frontend fe", "enable frontend fe", "disable frontend li"):
            case.made.ask(order)
        case.made.ask("enable frontend li")
        case.made.read()
        said = [text.split(": ", 1)[1].strip() for _, text in case.made.lines]
        found.append([text for text in said if text.startswith(("Paused", "Resumed"))])
    assert found[1] == found[0]
    assert len(found[0]) == 4


def test_a_lower_maxconn_makes_clients_wait_and_a_higher_one_lets_them_in(
    cases: list[Case],
) -> None:
    """Of Millrace alone: HAProxy 2.6.12 locks up where a higher limit lets a waiting client in."""
    case = cases[1]
    case.made.ask("set maxconn frontend limited 1")
    first = greet(case.target("limited"))
    assert first is not None
    for lower, higher in ((1, 2), (0, 100)):
        case.made.ask(f"set maxconn frontend limited {lower}")
        with socket.create_connection(case.target("limited")) as second:
            second.settimeout(0.3)
            with pytest.raises(TimeoutError):
                second.recv(1)
            case.made.ask(f"set maxconn frontend limited {higher}")
            second.settimeout(PATIENCE_SECONDS)
            assert second.recv(100) == b"127.0.0.1\n"
    first[1].sendall(b"still\n")
    assert first[1].recv(100) == b"still\n"
    first[1].close()


def test_show_info_and_show_stat_tell_the_limits_in_force(cases: list[Case]) -> None:
    found = []
    for case in cases:
        case.made.ask(
            "set maxconn global 77;set rate-limit connections global 700;"
            "set rate-limit sessions global 500;set maxconn frontend fe 7"
        )
        lines = dict(
            line.split(": ", 1) for line in case.made.ask("show info").splitlines() if ": " in line
        )
        row = case.made.ask("show stat fe 1 -1").splitlines()[1].split(",")
        found.append([lines["Maxconn"], lines["ConnRateLimit"], lines["SessRateLimit"], row[6]])
        case.made.ask("set maxconn global 0;set rate-limit connections global 0")
        case.made.ask("set rate-limit sessions global 0")
    assert found == [["77", "700", "500", "7"]] * 2


# -- what Millrace alone has: processes that are killed, and reloads ------------------------------

LIFE = """
global
  nbthread 2
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend fe
  bind 127.0.0.1:{port}
  default_backend be
frontend limited
  bind 127.0.0.1:{limited}
  maxconn 50
  default_backend be
backend be
  server s 127.0.0.1:{backend}
frontend page
  mode http
  bind 127.0.0.1:{page}
  stats enable
"""


def replaced(program: Program, kind: str, pids: list[int]) -> bool:
    found = program.titled_children().get(kind, [])
    return len(found) == len(pids) and not set(found) & set(pids)


def kill(program: Program, kind: str) -> None:
    """Kill all processes of a kind, and wait for their successors."""
    pids = program.children()[kind]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: replaced(program, kind, pids), PATIENCE_SECONDS, f"another {kind}")
    program.wait_until_answering()


def test_orders_survive_workers_and_control_and_a_reload_returns_to_the_file(
    tmp_path: Path,
) -> None:
    ports = {name: free_port() for name in ("port", "limited", "page")}
    fe, limited = (("127.0.0.1", ports[name]) for name in ("port", "limited"))
    with closing(NamedBackend("127.0.0.1", 0)) as backend:
        text = LIFE.format(backend=backend.port, **ports)
        with Program(tmp_path, text) as program:
            assert program.ask("disable frontend fe;set maxconn frontend limited 1") == "\n\n"
            kill(program, "worker")
            kill(program, "control")
            with socket.socket() as client:
                assert client.connect_ex(fe) != 0
            assert "fe,FRONTEND" in program.ask("show stat fe 1 -1")
            assert ",PAUSED," in program.ask("show stat fe 1 -1")
            first = greet(limited)
            assert first is not None
            with first[1], socket.create_connection(limited) as second:
                second.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    second.recv(1)
            assert program.ask("enable frontend fe") == "\n"
            kill(program, "worker")
            assert {who_answers(fe) for _ in range(8)} == {"127.0.0.1"}
            told = "This frontend serves statistics: it cannot be disabled while running.\n\n"
            assert program.ask("disable frontend page") == told
            opened = "All sockets are already enabled.\n\n"
            assert program.ask("enable frontend page") == opened
            program.ask("disable frontend fe;shutdown frontend limited")
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(fe)
                other.listen()
                program.process.send_signal(signal.SIGUSR2)
                wait_for(
                    lambda: "reload failed, nothing changed" in program.output.read_text(),
                    PATIENCE_SECONDS,
                    "the reload cannot have the port",
                )
                told = f"cannot bind socket (Address already in use) [127.0.0.1:{fe[1]}]"
                assert told in program.output.read_text()
            for target in (fe, limited):
                with socket.socket() as client:
                    assert client.connect_ex(target) != 0
            workers = set(program.children()["worker"])
            program.process.send_signal(signal.SIGUSR2)
            wait_for(
                lambda: not workers & set(program.titled_children().get("worker", workers)),
                PATIENCE_SECONDS,
                "the old workers end",
            )
            for target in (fe, limited):
                assert {who_answers(target) for _ in range(8)} == {"127.0.0.1"}
            assert ",PAUSED," not in program.ask("show stat")
            row = program.ask("show stat limited 1 -1").splitlines()[1].split(",")
            assert row[6] == "50"


def test_a_limited_rate_of_the_process_holds_from_the_order_on(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("port", "limited", "page")}
    with (
        closing(NamedBackend("127.0.0.1", 0)) as backend,
        Program(tmp_path, LIFE.format(backend=backend.port, **ports)) as program,
    ):
        program.ask("set rate-limit sessions global 2")
        began = time.monotonic()
        for _ in range(6):
            assert who_answers(("127.0.0.1", ports["port"])) == "127.0.0.1"
        assert time.monotonic() - began > 1
        program.ask("set rate-limit sessions global 0")
        assert "SessRateLimit: 0\n" in program.ask("show info")
        assert who_answers(("127.0.0.1", ports["port"])) == "127.0.0.1"
