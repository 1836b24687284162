"""A client that asks for much and reads nothing keeps a place only while no other wants it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.config.model.settings import Global, Origin, Proxy
from proxy.control.limits import (
    LARGE_ANSWERS_MAX,
    RESPONSE_SECONDS_MAX,
    SCRAPES_MAX,
    STATS_CONNECTIONS_MAX,
)
from tests.support.common import PATIENCE_SECONDS
from tests.support.control.sections import METRICS as SECTION
from tests.support.control.sections import page_at
from tests.support.control.site import World, a_server, control_world, read_all

SERVERS = 200  # whose metrics and rows are more than the sockets buffer
ROWS = b"GET /;csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SOON_SECONDS = RESPONSE_SECONDS_MAX / 2  # long before the others' time is up by itself
LAST_CHUNK = b"\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = tuple(a_server(f"s{number}", "127.78.8.1", 80) for number in range(SERVERS))
    with control_world(
        [
            Proxy("be", 2, "backend", Origin(), servers=servers),
            Proxy("metrics", 3, "frontend", Origin(), http=SECTION),
            Proxy("page", 4, "frontend", Origin(), http=page_at("/")),
        ],
        globals_=Global(maxconn=1000, stats_timeout_ms=600_000),
    ) as made:
        # what is accepted inherits it: few servers, so that all is read long before a time-out
        for service in made.services.values():
            service.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        yield made


def ask_for_metrics(world: World) -> socket.socket:
    """Ask, with little room for the answer."""
    return ask(world, "metrics", METRICS)


def ask(world: World, section: str, request: bytes) -> socket.socket:
    """Ask any section so."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.settimeout(PATIENCE_SECONDS)
    client.connect(world.services[section].getsockname())
    client.sendall(request)
    return client


def begin_to_read(client: socket.socket) -> bytes:
    """Read until metrics come."""
    received = b""
    while b"haproxy_process_nbthread" not in received:
        part = client.recv(512)
        assert part, received
        received += part
    return received


def read_the_rest(client: socket.socket) -> bytes:
    """All that comes, however it ends; the end of it."""
    end = b""
    try:
        while part := client.recv(1 << 16):
            end = (end + part)[-len(LAST_CHUNK) :]
    except ConnectionResetError:
        pass
    return end


def test_readers_that_take_nothing_do_not_lock_out_metrics(world: World) -> None:
    with ExitStack() as stack:
        idle: list[socket.socket] = []
        for _ in range(SCRAPES_MAX):  # each a scrape of its own, because the last has begun
            idle.append(stack.enter_context(ask_for_metrics(world)))
            begin_to_read(idle[-1])
        late = stack.enter_context(ask_for_metrics(world))
        late.settimeout(SOON_SECONDS)
        assert read_the_rest(late) == LAST_CHUNK
        whole = [read_the_rest(client) == LAST_CHUNK for client in idle]
        assert whole.count(False) == 1, "one place was wanted"


def test_a_full_house_of_readers_that_take_nothing_locks_nobody_out(world: World) -> None:
    with ExitStack() as stack:
        for _ in range(LARGE_ANSWERS_MAX):
            stack.enter_context(ask_for_metrics(world))
        late = stack.enter_context(ask_for_metrics(world))
        late.settimeout(SOON_SECONDS)
        assert read_the_rest(late) == LAST_CHUNK


def test_readiness_is_told_beside_a_full_house_and_costs_nobody_a_place(world: World) -> None:
    with ExitStack() as stack:
        idle = []
        for _ in range(LARGE_ANSWERS_MAX):
            idle.append(stack.enter_context(ask(world, "page", ROWS)))
            assert idle[-1].recv(1)
        for _ in range(3):
            with ask(world, "page", READY) as probe:
                assert b"no worker serves" in read_all(probe)  # there is none in this world
        assert all(read_the_rest(client) == LAST_CHUNK for client in idle)


def test_idle_readers_at_the_stats_socket_do_not_lock_out_the_operator(world: World) -> None:
    with ExitStack() as stack:
        for _ in range(STATS_CONNECTIONS_MAX):
            client = stack.enter_context(world.connect("user"))
            client.sendall(b"show stat typed\n")
            assert client.recv(10)
        late = stack.enter_context(world.connect())
        late.settimeout(SOON_SECONDS)
        late.sendall(b"show info\n")
        assert read_all(late).startswith(b"Name: ")


def test_who_takes_nothing_keeps_its_place_while_nobody_wants_it(world: World) -> None:
    with ask_for_metrics(world) as slow:
        begin_to_read(slow)
        for _ in range(3):
            with ask_for_metrics(world) as other:
                assert read_the_rest(other) == LAST_CHUNK
        assert read_the_rest(slow) == LAST_CHUNK
