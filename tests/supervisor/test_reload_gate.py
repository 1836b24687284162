"""The gate of a reload: little time without resolverd and control, and nothing said is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program as RealProgram
from tests.support.supervisor.program import Program, await_serving, hello, started

pytestmark = pytest.mark.slow  # starts the program
HOST = "127.44.9.1"
RELOADS = 6
SERVERS = 300
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout client 10s
    timeout server 10s
    timeout connect 1s
listen web
    bind {host}:{port}
{servers}
"""
STAND_IN = """
global
    nbthread 2
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 1s
listen web
    bind {host}:{port}
    server {name} 127.0.0.1:1
"""


class Operator:
    """Orders weights on the stats socket without pause, and reads back what was acknowledged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acknowledged = 0
        self.unanswered = 0
        self.failures: list[str] = []
        self._may_be = {name: {"1"} for name in ("a0", f"a{SERVERS - 1}")}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _ask(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(self.path))  # refused: this thread ends, which the test sees
            received = b""
            try:
                connection.sendall(line.encode() + b"\n")
                while chunk := connection.recv(4_096):
                    received += chunk
            except ConnectionError:  # counted as unanswered
                return ""
        return received.decode()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            for server, may_be in self._may_be.items():
                number += 1
                weight = str(2 + number % 200)
                answer = self._ask(f"get weight web/{server};set weight web/{server} {weight}")
                found = re.search(r"(\d+) \(initial 1\)", answer)
                if found is None:
                    self.unanswered += 1
                    may_be.add(weight)
                    continue
                if found[1] not in may_be:
                    self.failures.append(f"{server}: {found[1]}, not one of {may_be}")
                answer = self._ask(f"get weight web/{server}")
                found = re.search(r"(\d+) \(initial 1\)", answer)
                if found is not None and found[1] == weight:
                    self.acknowledged += 1
                    may_be.clear()
                may_be.add(weight)

    def __enter__(self) -> Operator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_no_acknowledged_order_is_lost_over_reloads(tmp_path: Path) -> None:
    servers = "\n".join(f"    server a{number} 127.0.0.1:1" for number in range(SERVERS))
    text = CONFIGURATION.format(host=HOST, port=free_port(), servers=servers)
    with RealProgram(tmp_path, text) as program:
        with Operator(program.socket_path) as operator:
            for number in range(RELOADS):
                done = operator.acknowledged
                wait_for(lambda done=done: operator.acknowledged > done + 5, 15, "orders are taken")
                program.process.send_signal(signal.SIGUSR2)
                wait_for(
                    lambda number=number: program.output.read_text().count("reload done") > number,
                    15,
                    "the reload is done",
                )
            done = operator.acknowledged
            wait_for(lambda: operator.acknowledged > done + 5, 15, "orders are taken at the end")
        assert operator.failures == []
        ended = program.output.read_text().count("ending old control")  # the machine was busy
        assert operator.unanswered <= 2 * ended


def write(folder: Path, port: int, name: str) -> str:
    path = folder / "edge.cfg"
    path.write_text(STAND_IN.format(host=HOST, port=port, name=name))
    return str(path)


@pytest.fixture
def address() -> tuple[str, int]:
    return HOST, free_port()


@pytest.fixture
def program(tmp_path: Path, address: tuple[str, int]) -> Iterator[Program]:
    with started(tmp_path, "-f", write(tmp_path, address[1], "a")) as program:
        await_serving(address)
        wait_for(lambda: len(settled(program)) == 3, 15, "all children are set up")
        yield program


def settled(program: Program) -> dict[int, str]:
    return {
        pid: title
        for pid, title in program.titles_all().items()
        if title.startswith("millrace: ") and "reload" not in title
    }


def controls(program: Program) -> list[int]:
    return [pid for pid, title in program.titles_all().items() if title == "millrace: control"]


def test_the_old_control_serves_until_the_new_one_waits_at_the_gate(
    tmp_path: Path, program: Program, address: tuple[str, int]
) -> None:
    (old,) = controls(program)
    write(tmp_path, address[1], "late")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: len(controls(program)) == 2, 15, "both are there")
    assert old in controls(program)
    assert "reload done" not in program.text()
    wait_for(lambda: "reload done" in program.text(), 15, "the reload is done")
    wait_for(lambda: len(controls(program)) == 1, 15, "the old one is gone")
    assert controls(program) != [old]


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_control_that_dies_while_the_new_one_loads_is_replaced(
    tmp_path: Path, program: Program, address: tuple[str, int], which: str
) -> None:
    (old,) = controls(program)
    write(tmp_path, address[1], "late")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: len(controls(program)) == 2, 15, "both are there")
    (new,) = set(controls(program)) - {old}
    killed = old if which == "old" else new
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: "starting another" in program.text(), 15, "it is replaced")
    wait_for(lambda: "reload done" in program.text(), 15, "the reload is done")
    wait_for(lambda: len(settled(program)) == 3, 15, "the old ones left")
    assert set(controls(program)).isdisjoint({old, killed})
    assert hello(address)[2] == 2


def test_a_reload_whose_control_never_comes_to_the_gate_is_called_off(
    tmp_path: Path, program: Program, address: tuple[str, int]
) -> None:
    before = settled(program)
    write(tmp_path, address[1], "gatecrash")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: "nothing changed" in program.text(), 15, "it is called off")
    program.await_text("the new resolverd or control did not become ready")
    wait_for(lambda: settled(program) == before, 15, "the old ones go on, all of them")
    assert hello(address)[2] == 1
    write(tmp_path, address[1], "a")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: "reload done" in program.text(), 15, "the next reload works")
