"""`on-marked-up shutdown-backup-sessions`, and clients that leave before there is a server."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from shm.states import AdminFlag
from tests.support.common import wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.relay.worker import Backend
from tests.support.servers import Server, echo


def connected(relay: RelayUnderTest, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(relay.connect())
    client.sendall(b"hello")
    assert client.recv(10) == b"hello"
    return client


def alive(client: socket.socket) -> bool:
    client.sendall(b"still there?")
    return client.recv(100) == b"still there?"


def test_sessions_of_backups_end_when_an_active_server_comes_up() -> None:
    with Server(echo) as active, Server(echo) as backup, ExitStack() as stack:
        servers = [
            RelayServer(*active.address, checked=True, shutdown_backups=True),
            RelayServer(*active.address, checked=True),
            RelayServer(*backup.address, backup=True),
        ]
        relay = stack.enter_context(RelayUnderTest(servers))
        spared = connected(relay, stack)  # no active server has passed a check yet
        relay.judge(1, up=True)
        assert alive(spared)  # this one says nothing about backups
        stays = connected(relay, stack)
        relay.judge(0, up=True)
        relay.wait_terminations({"U-": 1})
        assert spared.recv(10) == b""
        assert alive(stays)


def test_leaving_maintenance_counts_and_being_up_all_the_time_does_not() -> None:
    with Server(echo) as active, Server(echo) as backup, ExitStack() as stack:
        servers = [
            RelayServer(*active.address, shutdown_backups=True),
            RelayServer(*backup.address, backup=True),
        ]
        relay = stack.enter_context(RelayUnderTest(servers))
        relay.administer(0, flags=AdminFlag.FMAINT)
        client = connected(relay, stack)
        relay.administer(1, weight=7)  # another change of the backend
        assert alive(client)
        relay.administer(0)
        relay.wait_terminations({"U-": 1})
        assert client.recv(10) == b""


def test_a_session_that_still_connects_to_a_backup_ends_as_uc() -> None:
    full = Backend("127.88.3.9").fill()
    with Server(echo) as active, ExitStack() as stack:
        stack.callback(full.close)
        servers = [
            RelayServer(*active.address, checked=True, shutdown_backups=True),
            RelayServer(full.host, full.port, backup=True),
        ]
        relay = stack.enter_context(RelayUnderTest(servers))
        client = stack.enter_context(relay.connect())
        wait_for(lambda: relay.counters("server", 1)["sessions"] == 1, 10, "the session begins")
        relay.judge(0, up=True)
        relay.wait_terminations({"UC": 1})
        assert client.recv(10) == b""


@pytest.mark.parametrize("maxconn", [0, 1])
def test_a_client_that_ends_before_it_has_a_server_is_not_served(maxconn: int) -> None:
    """While connecting, and in the queue; without the option its request would be served."""
    full = Backend("127.88.3.10").fill()
    with ExitStack() as stack:
        stack.callback(full.close)
        server = RelayServer(full.host, full.port, maxconn=maxconn)
        relay = stack.enter_context(RelayUnderTest([server], abortonclose=True))
        first = stack.enter_context(relay.connect())
        wait_for(lambda: relay.counters("server", 0)["sessions"] == 1, 10, "the session begins")
        client = stack.enter_context(relay.connect()) if maxconn else first
        client.sendall(b"request")
        wait_for(lambda: relay.counters()["sessions"] == 1 + maxconn, 10, "accepted")
        client.shutdown(socket.SHUT_WR)
        relay.wait_terminations({"CQ" if maxconn else "CC": 1})
        assert client.recv(10) == b""
