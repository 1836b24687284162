"""What a request and a connection cost, in system calls: counts, not seconds.

The kernel's share is nearly all of the cost, so these numbers are the relay's performance. They
are upper bounds with a little room for what the kernel decides (batches, early data).
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.model.settings import ProxyHeader
from tests.support.common import PATIENCE_SECONDS, require_program, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Handler, Server, echo, receive_all, receive_count

ROUNDS = 200


class SystemCalls:
    """Counts the system calls of a process while the block runs."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self.output = folder / "calls"
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> SystemCalls:
        self.strace = subprocess.Popen(
            [require_program("strace"), "-f", "-qq", "-o", self.output, "-p", str(self.pid)],
            stderr=subprocess.PIPE,
        )
        wait_for(self.attached, 10, "strace attaches")
        return self

    def attached(self) -> bool:
        assert self.strace.poll() is None, "strace could not attach"
        status = Path(f"/proc/{self.pid}/status").read_text()
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return "TracerPid:\t0" not in status and all(
            "TracerPid:\t0" not in (task / "status").read_text() for task in tasks
        )

    def __exit__(self, *_: object) -> None:
        time.sleep(0.05)
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate(timeout=PATIENCE_SECONDS)
        for line in self.output.read_text().splitlines():
            name = line.split(maxsplit=1)[1].split("(")[0]
            if "resumed" not in line.split("(")[0]:
                self.counts[name] += 1

    def each(self, name: str) -> float:
        return self.counts[name] / ROUNDS


@pytest.mark.slow
def test_a_keep_alive_request_is_two_receives_and_two_sends(tmp_path: Path) -> None:
    with (
        Server(echo) as server,
        RelayUnderTest([server.address]) as relay,
        relay.connect() as client,
    ):
        for _ in range(2):  # TCP_NODELAY toward the server is set with the second send
            client.sendall(b"warm")
            receive_count(client, 4)
        with SystemCalls(relay.pid(), tmp_path) as calls:
            for _ in range(ROUNDS):
                client.sendall(b"request")
                assert receive_count(client, 7) == b"request"
    assert calls.each("recvfrom") <= 2.05
    assert calls.each("sendto") <= 2.05
    assert calls.each("epoll_wait") <= 2.6
    assert calls.each("epoll_ctl") == calls.each("setsockopt") == 0


@pytest.mark.slow
def test_a_short_connection_is_few_calls_and_no_option_too_many(tmp_path: Path) -> None:
    def answer(connection: object) -> None:
        data = receive_count(connection, 7)
        connection.sendall(data)  # type: ignore[attr-defined]

    with Server(answer) as server, RelayUnderTest([server.address]) as relay:
        with SystemCalls(relay.pid(), tmp_path) as calls:
            for _ in range(ROUNDS):
                with relay.connect() as client:
                    client.sendall(b"request")
                    assert receive_all(client) == b"request"
        relay.wait_terminations({"--": ROUNDS})
    assert calls.each("accept4") <= 2.05
    assert calls.each("socket") == calls.each("connect") == 1
    assert calls.each("epoll_ctl") <= 2.05
    # TCP_QUICKACK off, once the first side to speak is known; on again where the FIN is not there yet
    assert 0.5 < calls.each("setsockopt") <= 2.05
    assert calls.each("getsockopt") == calls.each("fcntl") == 0
    assert calls.each("shutdown") <= 1
    assert calls.each("close") <= 2.05
    assert calls.each("recvfrom") <= 5.2
    assert calls.each("sendto") <= 2.05


@pytest.mark.slow
@pytest.mark.parametrize("header", [ProxyHeader.V1, ProxyHeader.V2])
def test_a_proxy_header_costs_no_call_of_its_own(tmp_path: Path, header: ProxyHeader) -> None:
    """It leaves with the client's first bytes; one that comes is received with them."""

    def answer(connection: socket.socket) -> None:
        data = b""
        while not data.endswith(b"request"):
            data += connection.recv(200)
        connection.sendall(b"request")

    line = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
    with Server(answer) as server:
        place = RelayServer(*server.address, proxy_header=header)
        with RelayUnderTest([place], accept_proxy=True) as relay:
            with SystemCalls(relay.pid(), tmp_path) as calls:
                for _ in range(ROUNDS):
                    with relay.connect() as client:
                        client.sendall(line + b"request")
                        assert receive_all(client) == b"request"
            relay.wait_terminations({"--": ROUNDS})
    assert calls.each("getsockname") == calls.each("getpeername") == 0
    assert calls.each("socket") == calls.each("connect") == 1
    assert calls.each("sendto") <= 2.05
    assert calls.each("recvfrom") <= 5.2
    assert calls.each("epoll_ctl") <= 2.05
    assert calls.each("setsockopt") <= 2.05


def greet_and_end(connection: socket.socket) -> None:
    """Speaks first, and ends first."""
    connection.sendall(b"welcome")


def greet_and_wait(connection: socket.socket) -> None:
    """Speaks first, and leaves the end to the client."""
    connection.sendall(b"welcome")
    connection.recv(100)


def take_all(client: socket.socket) -> None:
    assert receive_all(client) == b"welcome"


def take_and_leave(client: socket.socket) -> None:
    assert receive_count(client, 7) == b"welcome"


def ask_and_leave(client: socket.socket) -> None:
    client.sendall(b"request")
    assert receive_count(client, 7) == b"request"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "be_client", "receives"),
    [
        (greet_and_end, take_all, 3.2),
        (greet_and_wait, take_and_leave, 3.2),
        (echo, ask_and_leave, 4.3),
    ],
    ids=["the-server-speaks-and-ends", "the-server-speaks", "the-client-speaks-and-ends"],
)
def test_who_speaks_and_who_ends_costs_no_call_more(
    handler: Handler, be_client: Callable[[socket.socket], None], receives: float, tmp_path: Path
) -> None:
    with Server(handler) as server, RelayUnderTest([server.address]) as relay:
        for _ in range(20):  # the relay learns which side speaks first
            with relay.connect() as client:
                be_client(client)
        relay.wait_terminations({"--": 20})
        with SystemCalls(relay.pid(), tmp_path) as calls:
            for _ in range(ROUNDS):
                with relay.connect() as client:
                    be_client(client)
            relay.wait_terminations({"--": 20 + ROUNDS})
    assert calls.each("accept4") <= 2.05
    assert calls.each("socket") == calls.each("connect") == 1
    assert calls.each("epoll_ctl") <= 2.05
    assert calls.each("setsockopt") <= (2.05 if handler is echo else 0), "TCP_QUICKACK off, on"
    assert calls.each("getsockopt") == calls.each("fcntl") == 0
    assert calls.each("recvfrom") <= receives
    assert calls.each("sendto") <= (2.05 if handler is echo else 1.05)
    assert calls.each("shutdown") <= 1
    assert calls.each("close") <= 2.05
