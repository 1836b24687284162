"""The process tree with real processes: deaths, hangs, stops. The children are stand-ins."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.supervisor.backoff import Backoff
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.supervisor.program import (
    Program,
    await_serving,
    greeting,
    hello,
    is_alive,
    kill,
    started,
)

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
HOST = "127.44.1.1"
DEATHS = 20  # of one worker in a row: 71 s of back-off
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
        wait_for(lambda: workers_seen(address) == {0, 1}, 15, "both workers serve")
        yield program


def workers_seen(address: Address, clients: int = 12) -> set[int]:
    return {hello(address)[0] for _ in range(clients)}


def refused(address: Address) -> bool:
    try:
        socket.create_connection(address, PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def test_children_carry_their_titles(program: Program) -> None:
    names = {"control", "worker 0", "worker 1"}
    wait_for(lambda: set(program.titles()) == names, 15, "all children are set up")


def test_a_worker_killed_in_a_step_of_a_hint_leaves_no_session_there(
    program: Program, address: Address
) -> None:
    def hint() -> int:
        with socket.create_connection(address, PATIENCE_SECONDS) as client, client.makefile() as it:
            it.readline()
            client.sendall(b"HINT\n")
            assert it.readline() == "HINT\n"
            return int(it.readline())

    for _ in range(3):
        with socket.create_connection(address, PATIENCE_SECONDS) as client:
            _, pid, _ = greeting(client)
            client.sendall(b"STEP\n")
            wait_for(lambda pid=pid: not is_alive(pid), 15, "it dies in the step")
        wait_for(lambda: workers_seen(address) == {0, 1}, 15, "it has a successor")
        wait_for(lambda: hint() == 0, 15, "the hint is mended")


def test_a_killed_worker_is_back_within_a_moment_and_its_siblings_sessions_go_on(
    program: Program, address: Address
) -> None:
    pids = program.titles()
    clients = [socket.create_connection(address) for _ in range(12)]
    served = {client: greeting(client)[0] for client in clients}
    assert set(served.values()) == {0, 1}
    kill(pids["worker 1"])
    assert all(hello(address)[1] != pids["worker 1"] for _ in range(20))
    for client, worker in served.items():
        client.settimeout(PATIENCE_SECONDS)
        if worker == 0:
            client.sendall(b"still there?\n")
            assert client.recv(100) == b"still there?\n"
        client.close()
    wait_for(lambda: workers_seen(address) == {0, 1}, 15, "worker 1 serves again")
    assert program.pid_of("worker 1") != pids["worker 1"]
    program.await_text(f"worker 1 ({pids['worker 1']}) was killed by signal 9")


def test_clients_of_a_worker_that_crashes_again_and_again_are_served_by_its_sibling(
    program: Program, address: Address
) -> None:
    for _ in range(4):  # the back-off is at 400 ms then
        kill(program.pid_of("worker 1"))
    answers = [hello(address)[0] for _ in range(30)]
    assert 0 in answers
    wait_for(lambda: workers_seen(address) == {0, 1}, 15, "worker 1 serves again")


def test_clients_of_the_only_worker_do_not_wait_until_its_back_off_ends(
    tmp_path: Path, address: Address
) -> None:
    """Its siblings may be dead as well: a rest is for the good of those that serve."""
    backoff = Backoff()
    rests_ms = sum(backoff.died(0, 0) for _ in range(DEATHS))
    with started(tmp_path, "-f", write(tmp_path, address[1], workers=1)) as program:
        await_serving(address)
        begun = time.monotonic()
        for _ in range(DEATHS):
            kill(program.pid_of("worker 0"))
            hello(address)
        assert (time.monotonic() - begun) * 1_000 < rests_ms


@pytest.mark.quiet
def test_sockets_of_a_stopped_worker_are_adopted_at_once_and_the_worker_is_replaced(
    program: Program, address: Address
) -> None:
    stopped = program.pid_of("worker 0")
    stand_still(stopped)
    for _ in range(20):
        assert hello(address)[1] != stopped
    assert is_alive(stopped), "nobody waited for its end"
    wait_for(lambda: not is_alive(stopped), 6, "the stopped worker is killed")
    wait_for(lambda: workers_seen(address) == {0, 1}, 15, "its successor serves")


@pytest.mark.quiet
def test_a_worker_that_was_stopped_briefly_takes_its_sockets_back(
    program: Program, address: Address
) -> None:
    worker = program.pid_of("worker 0")
    stand_still(worker)
    wait_for(lambda: workers_seen(address) == {1}, 15, "the sibling serves everything")
    os.kill(worker, signal.SIGCONT)
    wait_for(lambda: workers_seen(address) == {0, 1}, 15, "the worker has its sockets again")
    assert program.pid_of("worker 0") == worker


def test_a_hanging_worker_is_replaced(program: Program, address: Address) -> None:
    with socket.create_connection(address) as client:
        worker, pid, _ = greeting(client)
        client.sendall(b"HANG\n")
        wait_for(lambda: not is_alive(pid), 6, "the hanging worker is killed")
    wait_for(lambda: workers_seen(address) == {0, 1}, 15, "its successor serves")
    program.await_text(f"worker {worker} ({pid}) does not answer any more")


def test_a_killed_control_is_back_and_no_client_notices(program: Program, address: Address) -> None:
    killed = program.pid_of("control")
    with socket.create_connection(address) as client:
        greeting(client)
        os.kill(killed, signal.SIGKILL)
        wait_for(
            lambda: program.titles().get("control", killed) != killed, 1, "another control runs"
        )
        client.sendall(b"on\n")
        assert client.recv(10) == b"on\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_waits_for_no_session_and_dies_by_its_signal(
    program: Program, address: Address, number: signal.Signals
) -> None:
    children = list(program.titles().values())
    with socket.create_connection(address) as client:
        greeting(client)
        program.signal(number)
        assert program.wait() == -number, program.text()
    assert not any(map(is_alive, children))
    assert refused(address)


def test_a_stop_does_not_wait_for_a_worker_that_hangs(program: Program, address: Address) -> None:
    os.kill(program.pid_of("worker 1"), signal.SIGSTOP)
    program.signal(signal.SIGTERM)
    assert program.wait() == -signal.SIGTERM


def test_when_the_supervisor_is_killed_the_children_go_and_the_port_is_free(
    program: Program, address: Address
) -> None:
    children = list(program.titles().values())
    program.signal(signal.SIGKILL)
    program.wait()
    wait_for(lambda: not any(map(is_alive, children)), 1, "the children are gone")
    with socket.create_server(address) as again:
        assert again.getsockname() == address


def test_a_soft_stop_serves_what_waits_lets_sessions_finish_and_then_refuses(
    program: Program, address: Address
) -> None:
    with socket.create_connection(address) as client:
        greeting(client)
        program.signal(signal.SIGUSR1)
        wait_for(lambda: refused(address), 15, "new clients are refused")
        client.sendall(b"take your time\n")
        assert client.recv(100) == b"take your time\n"
        assert program.child.poll() is None
    assert program.wait() == 0


def test_during_a_soft_stop_no_client_is_reset(program: Program, address: Address) -> None:
    program.signal(signal.SIGUSR1)
    outcomes = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            hello(address)
            outcomes.add("served")
        except ConnectionRefusedError:
            break
    else:
        pytest.fail("never refused")
    assert program.wait() == 0


def test_a_soft_stop_is_bounded_by_hard_stop_after(tmp_path: Path, address: Address) -> None:
    more = "global\n    hard-stop-after 600ms\n"
    with started(tmp_path, "-f", write(tmp_path, address[1], more=more)) as program:
        await_serving(address)
        with socket.create_connection(address) as client:
            greeting(client)
            before = time.monotonic()
            program.signal(signal.SIGUSR1)
            assert program.wait() == 0
            assert time.monotonic() - before > 0.5
            assert client.recv(10) == b""
        program.await_text("hard-stop-after 600 ms is over: ending")


def test_a_stop_ends_a_soft_stop_that_takes_too_long(program: Program, address: Address) -> None:
    with socket.create_connection(address) as client:
        greeting(client)
        program.signal(signal.SIGUSR1)
        wait_for(lambda: refused(address), 15, "new clients are refused")
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM
