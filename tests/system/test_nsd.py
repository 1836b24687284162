"""A name in a real NSD becomes servers that real connections reach, while everything runs."""

from __future__ import annotations

import collections
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.program.program import NamedBackend, Program, greet, who_answers

ADDRESSES = tuple(f"127.81.1.{number}" for number in (1, 2, 3, 4))
TIMEOUT_RESOLVE_SECONDS = 0.5
HOLD_OBSOLETE_SECONDS = 1.0

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
resolvers nsd
    nameserver ns1 {nameserver}
    timeout resolve 500ms
    timeout retry 300ms
    hold obsolete 1s
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
frontend f
    bind 127.81.0.1:{port}
    default_backend b
backend b
    balance roundrobin
    server-template web 5 web.system.test:{backend_port} check inter 500ms resolvers nsd resolve-prefer ipv4 init-addr none
"""


def records(addresses: tuple[str, ...]) -> list[str]:
    return [f"web IN A {address}" for address in addresses]


@pytest.fixture
def backends() -> Iterator[dict[str, NamedBackend]]:
    port = free_port()
    started = {address: NamedBackend(address, port) for address in ADDRESSES}
    yield started
    for backend in started.values():
        backend.close()


def shares(target: tuple[str, int], connections: int) -> collections.Counter[str | None]:
    return collections.Counter(who_answers(target) for _ in range(connections))


@pytest.mark.slow
def test_a_template_follows_a_zone_of_nsd(
    tmp_path: Path, backends: dict[str, NamedBackend]
) -> None:
    port = free_port()
    target = ("127.81.0.1", port)
    with Nsd(tmp_path, "system.test", records(ADDRESSES[:3]), "127.81.0.53") as nsd:
        configuration = CONFIGURATION.format(
            nameserver=f"{nsd.address}:{nsd.port}",
            port=port,
            backend_port=backends[ADDRESSES[0]].port,
        )
        with Program(tmp_path, configuration) as program:
            three_servers_forward(target)
            a_fourth_record_is_used(nsd, target)
            a_removed_record_gets_no_new_connection(nsd, target)
            assert [row["srv_addr"] for row in program.servers("b").values()].count("-") == 2


def three_servers_forward(target: tuple[str, int]) -> None:
    wait_for(
        lambda: shares(target, 3).keys() == set(ADDRESSES[:3]), 5.0, "three servers", step=0.05
    )
    assert shares(target, 30) == dict.fromkeys(ADDRESSES[:3], 10)


def a_fourth_record_is_used(nsd: Nsd, target: tuple[str, int]) -> None:
    nsd.set_records(records(ADDRESSES))
    wait_for(
        lambda: ADDRESSES[3] in shares(target, 4),
        TIMEOUT_RESOLVE_SECONDS + 1.0,
        "the fourth server",
    )
    assert shares(target, 40) == dict.fromkeys(ADDRESSES, 10)


def a_removed_record_gets_no_new_connection(nsd: Nsd, target: tuple[str, int]) -> None:
    removed = ADDRESSES[1]
    held = held_connections(target, removed)
    remaining = tuple(address for address in ADDRESSES if address != removed)
    began = time.monotonic()
    nsd.set_records(records(remaining))
    wait_for(
        lambda: removed not in shares(target, 8),
        HOLD_OBSOLETE_SECONDS + TIMEOUT_RESOLVE_SECONDS + 1.0,
        "the removed server without new connections",
    )
    assert time.monotonic() - began > 0.4, "hold obsolete was cut short"
    assert shares(target, 30) == dict.fromkeys(remaining, 10)
    for connection in held:
        connection.sendall(b"still here")
        assert connection.recv(64) == b"still here", "an open session was cut"
        connection.close()


def held_connections(target: tuple[str, int], address: str) -> list[socket.socket]:
    """Four open sessions to one server."""
    held: list[socket.socket] = []
    while len(held) < 4:
        greeted = greet(target)
        assert greeted is not None
        if greeted[0] == address:
            held.append(greeted[1])
        else:
            greeted[1].close()
    return held
