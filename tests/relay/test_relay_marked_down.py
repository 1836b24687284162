"""`on-marked-down shutdown-sessions`: whose sessions end when a server goes down, and how."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.relay.worker import Backend
from tests.support.servers import Server, echo


def pair(first: Server, second: Server, *, checked: bool = False) -> list[RelayServer]:
    """Two servers; the sessions of the first one end when it goes down."""
    return [
        RelayServer(*first.address, checked=checked, shutdown_down=True),
        RelayServer(*second.address, checked=checked),
    ]


def ended(client: socket.socket) -> bool:
    return client.recv(10) == b""


def alive(client: socket.socket) -> bool:
    client.sendall(b"still there?")
    return client.recv(100) == b"still there?"


def connected(relay: RelayUnderTest, stack: ExitStack) -> socket.socket:
    """A client whose session is established."""
    client = stack.enter_context(relay.connect())
    client.sendall(b"hello")
    assert client.recv(10) == b"hello"
    return client


def test_maintenance_ends_the_sessions_of_that_server_and_of_no_other() -> None:
    with Server(echo) as first, Server(echo) as second, ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest(pair(first, second)))
        clients = [connected(relay, stack) for _ in range(4)]
        relay.administer(0, flags=AdminFlag.FMAINT)
        relay.wait_terminations({"D-": 2})
        assert ended(clients[0])
        assert ended(clients[2])
        assert alive(clients[1])
        assert alive(clients[3])
        assert relay.counters("server", 0)["sessions"] == 0
        wait_for(lambda: relay.hints() == [0, 2], PATIENCE_SECONDS, "the hints follow")


def test_a_failed_check_ends_sessions_and_drain_does_not() -> None:
    with Server(echo) as first, Server(echo) as second, ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest(pair(first, second, checked=True)))
        relay.judge(0, up=True)
        clients = [connected(relay, stack) for _ in range(2)]
        relay.administer(0, flags=AdminFlag.FDRAIN)
        assert alive(clients[0])
        relay.judge(0, up=False)
        relay.wait_terminations({"D-": 2})  # the other server has not passed a check yet
        assert ended(clients[0])
        assert ended(clients[1])


def test_a_lost_name_ends_sessions_and_another_address_does_not() -> None:
    with Server(echo) as first, Server(echo) as second, ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest(pair(first, second)))
        clients = [connected(relay, stack) for _ in range(2)]
        relay.publish(0, *second.address)
        assert alive(clients[0])
        relay.publish(0, None)
        relay.wait_terminations({"D-": 1})
        assert ended(clients[0])
        assert alive(clients[1])


def test_a_session_that_still_connects_ends_as_dc() -> None:
    full = Backend("127.88.3.1").fill()
    with ExitStack() as stack:
        stack.callback(full.close)
        server = RelayServer(full.host, full.port, shutdown_down=True)
        relay = stack.enter_context(RelayUnderTest([server]))
        client = stack.enter_context(relay.connect())
        wait_for(lambda: relay.counters("server", 0)["sessions"] == 1, 10, "the session begins")
        relay.administer(0, flags=AdminFlag.FMAINT)
        relay.wait_terminations({"DC": 1})
        assert ended(client)


@pytest.mark.slow
def test_all_of_many_sessions_end_in_every_worker_and_none_is_lost() -> None:
    with Server(echo) as first, Server(echo) as second, ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest(pair(first, second), workers=2))
        clients = [connected(relay, stack) for _ in range(600)]
        for client in clients[::5]:
            client.close()
        relay.wait_terminations({"--": 120})
        kept = [client for client in clients if client.fileno() >= 0]
        doomed = relay.counters("server", 0)["sessions"]
        assert 0 < doomed < len(kept)
        relay.administer(0, flags=AdminFlag.FMAINT)
        relay.wait_terminations({"--": 120, "D-": doomed})
        relay.publish(0, *second.address)
        relay.administer(0)
        after = [connected(relay, stack) for _ in range(50)]
        assert all(alive(client) for client in after)
        assert relay.counters("server", 1)["sessions"] == len(kept) - doomed + 25
