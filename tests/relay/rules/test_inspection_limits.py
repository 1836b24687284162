"""What a worker holds for all clients that rules wait for is bounded, however the bytes come."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.common import wait_for
from tests.support.config.loading import LISTEN, settings_of
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

HELD_BYTES = 15_000  # of each client: fewer than rules look at
LIMIT_BYTES = 64 << 20
CLIENTS = LIMIT_BYTES // HELD_BYTES + 200
LOOKED_AT_BYTES = 15_360


def fields(*lines: str) -> dict[str, Any]:
    """Of a section with these lines."""
    text = LISTEN + "".join(f"    {line}\n" for line in lines)
    servers = "    server a 127.0.0.1:1\n    server b 127.0.0.1:1\n"
    settings = settings_of(text + servers)
    return {"rules": settings.proxies[0].rules, "lists": settings.lists}


@pytest.mark.slow
def test_clients_beyond_the_limit_are_judged_by_what_is_there() -> None:
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
            for _ in range(CLIENTS):  # after some the relay receives first bytes with the accept
                client = stack.enter_context(relay.connect())
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(b"x" * HELD_BYTES)
            wait_for(
                lambda: relay.terminations().get("PR", 0) > 0, 30, "a client beyond the limit ends"
            )
            counters = relay.counters()
            assert counters["inspections_cut"] >= relay.terminations()["PR"]
            assert counters["buffer_bytes"] <= LIMIT_BYTES + HELD_BYTES
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
