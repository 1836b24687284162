"""Reloads of a running tree of stand-ins: no client refused, nothing lost, errors change nothing."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.supervisor.program import Program, await_serving, greeting, hello, started

CONFIGURATION = """
global
    nbthread {workers}
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 1s
listen web
    bind {host}:{port}
    server a 127.0.0.1:1
"""
pytestmark = pytest.mark.slow  # each test starts the program
HOST = "127.44.2.1"
CHILDREN = 3  # control and two workers
Address = tuple[str, int]


def write(folder: Path, port: int, workers: int = 2, more: str = "") -> str:
    path = folder / "edge.cfg"
    path.write_text(CONFIGURATION.format(host=HOST, port=port, workers=workers) + more)
    return str(path)


@pytest.fixture
def address() -> Address:
    return HOST, free_port()


@pytest.fixture
def program(tmp_path: Path, address: Address) -> Iterator[Program]:
    with started(tmp_path, "-f", write(tmp_path, address[1])) as program:
        await_serving(address)
        names = {"control", "worker 0", "worker 1"}
        wait_for(lambda: set(program.titles()) == names, 15, "all children are set up")
        yield program


def generation(address: Address) -> int:
    return hello(address)[2]


def reload(program: Program, address: Address, number: signal.Signals = signal.SIGUSR2) -> None:
    before = generation(address)
    program.signal(number)
    wait_for(lambda: generation(address) > before, 15, "a new generation serves")
    wait_for(
        lambda: {generation(address) for _ in range(10)} == {before + 1}, 15, "only the new one"
    )


class Clients:
    """Connects without pause; counts what became of it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.served = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                hello(self.address, 3.0)
                self.served += 1
            except OSError as error:
                self.failures.append(f"{time.monotonic():.3f} {error!r}")

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_no_client_is_refused_while_the_number_of_workers_changes(
    tmp_path: Path, program: Program, address: Address
) -> None:
    with Clients(address) as clients:
        for workers in (1, 2, 1, 2):
            write(tmp_path, address[1], workers)
            reload(program, address)
    assert clients.failures == []
    assert clients.served > 50
    wait_for(
        lambda: set(program.titles()) == {"control", "worker 0", "worker 1"}, 15, "old ones left"
    )


def test_old_workers_finish_their_sessions(program: Program, address: Address) -> None:
    with socket.create_connection(address) as client:
        _, old_pid, _ = greeting(client)
        reload(program, address, signal.SIGHUP)
        client.sendall(b"from the old days\n")
        assert client.recv(100) == b"from the old days\n"
        assert old_pid in program.titles_all()
    wait_for(lambda: old_pid not in program.titles_all(), 15, "the old worker leaves")


def test_an_invalid_configuration_changes_nothing_but_the_log(
    tmp_path: Path, program: Program, address: Address
) -> None:
    children = program.titles()
    write(tmp_path, address[1], more="listen broken\n    blance roundrobin\n")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: "reload failed, nothing changed" in program.text(), 15, "the failure is told")
    program.await_text("unknown keyword 'blance'")
    wait_for(lambda: program.titles() == children, 10, "the helper has ended, too")
    (tmp_path / "edge.cfg").write_text("global\n")
    program.signal(signal.SIGUSR2)
    program.await_text("reload failed, nothing changed: no enabled listener found")
    assert generation(address) == 1
    write(tmp_path, address[1])
    reload(program, address)


def test_a_reload_that_cannot_bind_changes_nothing(
    tmp_path: Path, program: Program, address: Address
) -> None:
    children = program.titles()
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        more = f"listen more\n    bind {HOST}:{port}\n    server a 127.0.0.1:1\n"
        write(tmp_path, address[1], more=more)
        program.signal(signal.SIGUSR2)
        wait_for(lambda: "nothing changed: not all sockets" in program.text(), 15, "it is told")
    program.await_text(f"cannot bind socket (Address already in use) [{HOST}:{port}]")
    wait_for(lambda: program.titles() == children, 10, "the helper has ended, too")
    assert generation(address) == 1


def test_a_reload_whose_workers_die_is_called_off(
    tmp_path: Path, program: Program, address: Address
) -> None:
    old = program.titles()
    path = Path(write(tmp_path, address[1]))
    path.write_text(path.read_text().replace("server a", "server crash"))
    with Clients(address) as clients:
        program.signal(signal.SIGUSR2)
        wait_for(lambda: "workers did not become ready" in program.text(), 10, "it is told")
    assert clients.failures == []
    assert generation(address) == 1
    wait_for(lambda: set(program.titles()) == set(old), 15, "control is back, the new ones gone")
    assert program.pid_of("worker 0") == old["worker 0"]
    write(tmp_path, address[1])
    reload(program, address)


def test_a_new_bind_serves_and_a_vanished_one_is_refused_without_a_reset(
    tmp_path: Path, program: Program, address: Address
) -> None:
    other = (HOST, free_port())
    more = f"listen more\n    bind {HOST}:{other[1]}\n    server a 127.0.0.1:1\n"
    write(tmp_path, address[1], more=more)
    reload(program, address)
    assert generation(other) == 2
    with socket.create_connection(other) as client:
        greeting(client)
        write(tmp_path, address[1])
        reload(program, address)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with contextlib.suppress(ConnectionRefusedError):
            while time.monotonic() < deadline:
                hello(other)  # a reset fails the test
        assert time.monotonic() < deadline, "still served"
        client.sendall(b"open\n")
        assert client.recv(10) == b"open\n"


def test_several_old_generations_live_at_once(program: Program, address: Address) -> None:
    clients = []
    for _ in range(3):
        clients.append(socket.create_connection(address))
        greeting(clients[-1])
        reload(program, address)
    for client in clients:
        client.sendall(b"x\n")
        assert client.recv(10) == b"x\n"
        client.close()
    wait_for(
        lambda: len(program.titles_all()) == CHILDREN, 15, "only the newest generation is left"
    )


def sessions_over_reloads(program: Program, address: Address, reloads: int) -> list[socket.socket]:
    """One session of each generation."""
    clients = []
    for _ in range(reloads):
        clients.append(socket.create_connection(address))
        clients[-1].settimeout(PATIENCE_SECONDS)
        greeting(clients[-1])
        reload(program, address)
    return clients


def test_no_number_of_reloads_ends_a_session(program: Program, address: Address) -> None:
    for client in sessions_over_reloads(program, address, 11):
        client.sendall(b"x\n")
        assert client.recv(10) == b"x\n"
        client.close()


def test_what_is_older_than_mworker_max_reloads_ends_and_is_told(
    tmp_path: Path, program: Program, address: Address
) -> None:
    path = Path(write(tmp_path, address[1]))
    path.write_text(path.read_text().replace("global\n", "global\n    mworker-max-reloads 2\n"))
    clients = sessions_over_reloads(program, address, 4)
    for client in clients[:2]:
        assert client.recv(10) == b"", "older than two reloads"
    for client in clients[2:]:
        client.sendall(b"x\n")
        assert client.recv(10) == b"x\n"
    program.await_text("mworker-max-reloads 2: ending")
    for client in clients:
        client.close()


def test_nothing_piles_up_over_many_reloads(program: Program, address: Address) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{program.pid}/fd").iterdir()))

    reload(program, address)
    wait_for(lambda: len(program.titles_all()) == CHILDREN, 15, "the old generation is gone")
    before = descriptors()
    for _ in range(5):
        reload(program, address)
    wait_for(lambda: len(program.titles_all()) == CHILDREN, 15, "the old generations are gone")
    wait_for(lambda: descriptors() <= before, 15, "descriptors are given back")


def test_a_stop_during_a_reload_ends_everything(program: Program, address: Address) -> None:
    program.signal(signal.SIGUSR2)
    program.signal(signal.SIGTERM)
    assert program.wait() == -signal.SIGTERM
