"""What is saved on acknowledgements, no server pays for: none waits for a delayed one.

A server with Nagle's rule in force sends its second small write when the first is acknowledged. The
kernel counts acknowledgements that were sent because their timer (40 ms) ran out: these are counted
here, not the time, by the side of a client that asks the server without a proxy.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from proxy.config.model.settings import ProxyHeader
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Handler, Server, receive_all, receive_count

ROUNDS = 60  # the relay knows after 16 that clients speak first
SPARE = ROUNDS // 4  # such a machine that a timer runs out before an answer is read
REQUEST = b"request"
HEADERS = {ProxyHeader.NONE: 0, ProxyHeader.V2: 28}


def delayed_acks() -> int:
    """Acknowledgements of this network namespace that came from the timer."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == "TcpExt:")
    return int(values[names.index("DelayedACKs")])


def answering(header: int, *parts: bytes, nodelay: bool = False, greets: bool = False) -> Handler:
    """A server that answers in such writes, and leaves the end to its client."""

    def handle(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        if greets:
            connection.sendall(b"welcome")
        receive_count(connection, header + len(REQUEST))
        for part in parts:
            connection.sendall(part)
        receive_all(connection)

    return handle


SHAPES: dict[str, dict[str, Any]] = {
    "one-write": {"parts": (b"answer",)},
    "two-writes": {"parts": (b"head", b"body")},
    "two-writes-nodelay": {"parts": (b"head", b"body"), "nodelay": True},
    "speaks-first": {"parts": (b"head", b"body"), "greets": True},
}


def ask(client: socket.socket, expected: int) -> None:
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(REQUEST)
        receive_count(client, expected)


@pytest.mark.slow
@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_server_waits_for_a_delayed_acknowledgement(shape: str, header: ProxyHeader) -> None:
    words = dict(SHAPES[shape])
    parts = words.pop("parts")
    expected = sum(map(len, parts)) + (7 if words.get("greets") else 0)
    with Server(answering(0, *parts, **words)) as server:
        before = delayed_acks()
        for _ in range(ROUNDS):
            ask(socket.create_connection(server.address), expected)
        direct = delayed_acks() - before
    with (
        Server(answering(HEADERS[header], *parts, **words)) as server,
        RelayUnderTest([RelayServer(*server.address, proxy_header=header)]) as relay,
    ):
        before = delayed_acks()
        for _ in range(ROUNDS):
            ask(relay.connect(), expected)
        assert delayed_acks() - before <= direct + SPARE
