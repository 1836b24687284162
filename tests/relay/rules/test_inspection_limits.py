"""What a worker holds for all clients that rules wait for is bounded, however the bytes come."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.config.loading import LISTEN, settings_of
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

HELD_BYTES = 15_000  # of each client: fewer than rules look at
ROOM_BYTES = 16_384  # of memory that these take
BEYOND = 200  # clients, for which there is no room
CLIENTS = (64 << 20) // ROOM_BYTES + BEYOND
LOOKED_AT_BYTES = 15_360


def fields(*lines: str) -> dict[str, Any]:
    """Of a section with these lines."""
    text = LISTEN + "".join(f"    {line}\n" for line in lines)
    servers = "    server a 127.0.0.1:1\n    server b 127.0.0.1:1\n"
    settings = settings_of(text + servers)
    return {"rules": settings.proxies[0].rules, "lists": settings.lists}


def has_ended(client: socket.socket) -> bool:
    """Whether its session is over."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
    except BlockingIOError:
        return False


def wait_for_held(relay: RelayUnderTest, count: int) -> None:
    """Until so many clients' bytes are held."""
    wait_for(
        lambda: relay.counters()["buffer_bytes"] >= count * HELD_BYTES,
        PATIENCE_SECONDS,
        "their bytes are held",
    )


@pytest.mark.slow
def test_beyond_the_limit_those_that_have_waited_longest_are_judged() -> None:
    waiting = fields(
        "tcp-request inspect-delay 600s",
        "tcp-request content reject if { req.len ge 15200 }",
        "tcp-request content reject if WAIT_END",
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * CLIENTS:
        pytest.skip(f"takes {3 * CLIENTS} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 * CLIENTS, hard))
    try:
        with RelayUnderTest([("127.0.0.1", 1)] * 2, **waiting) as relay, ExitStack() as stack:
            silent = stack.enter_context(relay.connect())  # holds nothing, so waits on
            clients = []
            for number in range(CLIENTS):  # after some the relay receives bytes with the accept
                client = stack.enter_context(relay.connect())
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(b"x" * HELD_BYTES)
                clients.append(client)
                if number + 1 == BEYOND:
                    wait_for_held(relay, BEYOND)
            relay.wait_terminations({"PR": BEYOND}, PATIENCE_SECONDS)
            assert relay.counters()["inspections_cut"] == BEYOND
            assert all(has_ended(client) for client in clients[:BEYOND])
            assert not any(has_ended(client) for client in (silent, *clients[BEYOND:]))
            for client in clients[BEYOND:]:  # what they have left is free for others
                client.close()
            relay.wait_terminations({"PR": CLIENTS}, PATIENCE_SECONDS)
            client = stack.enter_context(relay.connect())
            client.sendall(b"x" * HELD_BYTES)
            wait_for_held(relay, 1)
            assert relay.counters()["inspections_cut"] == BEYOND
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_rules_that_choose_look_at_no_more_than_those_that_wait() -> None:
    more = f"use-server b if {{ req.len gt {LOOKED_AT_BYTES} }}"
    sent = b"PROXY UNKNOWN\r\n" + b"x" * 40_000
    with (
        Server(echo) as server,
        RelayUnderTest([server.address] * 2, accept_proxy=True, **fields(more)) as relay,
    ):
        relay.signal(signal.SIGSTOP, 0)  # so that it receives all at once
        with relay.connect() as client:
            client.sendall(sent)
            relay.signal(signal.SIGCONT, 0)
            assert receive_count(client, 40_000) == b"x" * 40_000
            assert relay.counters("server", 0)["sessions_total"] == 1
            assert relay.counters("server", 1)["sessions_total"] == 0
