"""Reaching a server: refusals, time-outs, retries, redispatch, and what resolverd is told."""

from __future__ import annotations

import socket
import time

import pytest

from proxy.config.model.settings import Balance, Timeouts
from shm.states import AdminFlag
from tests.support.common import wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import (
    Blackhole,
    Server,
    echo,
    named,
    receive_all,
    receive_count,
    reset,
    silent_port,
)

TURN_AROUND_SECONDS = 1.0
QUICK = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=100)


def test_a_refused_connection_ends_as_sc_and_the_client_sees_the_end() -> None:
    with silent_port() as port, RelayUnderTest([("127.0.0.1", port)], retries=0) as relay:
        with relay.connect() as client:
            client.sendall(b"request")
            assert client.recv(10) == b"", "a FIN, not a reset"
        relay.wait_terminations({"SC": 1})
        assert relay.counters("server")["connection_errors"] == 1
        assert relay.requests() == [(0, 0, 1, 0)]


def test_the_same_server_is_tried_again_after_the_turn_around_time() -> None:
    """min(timeout connect, 1 s) between attempts; manual, `retries`."""
    with (
        silent_port() as port,
        RelayUnderTest([("127.0.0.1", port)], retries=3, timeouts=QUICK) as relay,
    ):
        begun = time.monotonic()
        with relay.connect() as client:
            assert client.recv(10) == b""
        assert time.monotonic() - begun > 0.28
        counters = relay.counters("backend")
        assert counters["connect_attempts"] == 4
        assert (counters["retries"], counters["redispatches"]) == (3, 0)
        assert counters["connection_errors"] == 1
        assert relay.requests() == [(0, 0, 4, 0)]


def test_without_redispatch_the_session_stays_with_its_server() -> None:
    with silent_port() as port, Server(echo) as server:
        servers = [("127.0.0.1", port), server.address]
        with RelayUnderTest(servers, retries=2, timeouts=QUICK) as relay:
            with relay.connect() as client:
                assert client.recv(10) == b""
            relay.wait_terminations({"SC": 1})
            assert server.accepted == 0


@pytest.mark.parametrize("redispatch", [-1, 1, 3])
def test_balancing_by_turns_a_redispatched_session_goes_elsewhere_at_once(redispatch: int) -> None:
    with silent_port() as port, Server(named("good")) as server:
        servers = [("127.0.0.1", port), server.address]
        with RelayUnderTest(servers, retries=3, redispatch=redispatch) as relay:
            clients, quick = 0, False
            while not quick:  # a machine that is busy delays some of them
                assert clients < 40, "each waits the turn-around time"
                before, begun = relay.counters("server", 0)["redispatches"], time.monotonic()
                with relay.connect() as client:
                    assert receive_all(client) == b"good"
                clients += 1
                took_seconds = time.monotonic() - begun
                redispatched = relay.counters("server", 0)["redispatches"] > before
                quick = redispatched and took_seconds < TURN_AROUND_SECONDS
            relay.wait_terminations({"--": clients})
            dead = relay.counters("server", 0)
            assert dead["redispatches"] == dead["connect_attempts"] > 0
            assert relay.counters("backend")["retries"] == 0
            assert relay.counters("server", 1)["sessions"] == 0


@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.LEASTCONN, Balance.FIRST])
def test_a_redispatched_session_stays_off_the_backup_of_a_server_that_is_up(
    balance: Balance,
) -> None:
    """As HAProxy 2.6 was seen to do: backups are for when no active server is up."""
    with silent_port() as port, Server(named("backup")) as server:
        servers = [RelayServer("127.0.0.1", port), RelayServer(*server.address, backup=True)]
        with RelayUnderTest(
            servers, balance=balance, retries=2, redispatch=1, timeouts=QUICK
        ) as relay:
            with relay.connect() as client:
                assert client.recv(10) == b""
            relay.wait_terminations({"SC": 1})
            assert server.accepted == 0


def test_a_source_hash_is_left_only_for_the_last_retry() -> None:
    with silent_port() as port, Server(named("good")) as server:
        servers = [RelayServer("127.0.0.1", port, 255), RelayServer(*server.address, 1)]
        with RelayUnderTest(
            servers, balance=Balance.SOURCE, retries=2, redispatch=-1, timeouts=QUICK
        ) as relay:
            with relay.connect() as client:
                assert receive_all(client) == b"good"
            counters = relay.counters("server", 0)
            assert (counters["retries"], counters["redispatches"]) == (1, 1)


def test_a_connect_time_out_is_sc_in_lower_case_and_asks_for_a_resolution() -> None:
    with (
        Blackhole() as nowhere,
        RelayUnderTest([("127.0.0.1", nowhere.port)], retries=1, timeouts=QUICK) as relay,
    ):
        before_ms = time.monotonic_ns() // 1_000_000
        with relay.connect() as client:
            assert client.recv(10) == b""
        relay.wait_terminations({"sC": 1})
        [(slot, timeouts, refusals, began_ms)] = relay.requests()
        assert (slot, timeouts, refusals) == (0, 2, 0)
        assert before_ms <= began_ms <= time.monotonic_ns() // 1_000_000


def test_a_retry_finds_a_server_that_moved_meanwhile() -> None:
    with silent_port() as port, Server(named("here")) as server:
        timeouts = Timeouts(connect_ms=400, client_ms=600_000, server_ms=600_000)
        with RelayUnderTest([("127.0.0.1", port)], retries=3, timeouts=timeouts) as relay:
            with relay.connect() as client:
                wait_for(lambda: relay.counters("server")["connect_attempts"], 5, "an attempt")
                relay.publish(0, *server.address)
                assert receive_all(client) == b"here"
            relay.wait_terminations({"--": 1})


def test_a_retry_leaves_a_server_that_takes_no_sessions_any_more() -> None:
    with silent_port() as port, Server(named("other")) as server:
        servers = [("127.0.0.1", port), server.address]
        timeouts = Timeouts(connect_ms=400, client_ms=600_000, server_ms=600_000)
        with (
            RelayUnderTest(servers, retries=3, timeouts=timeouts) as relay,
            relay.connect() as client,
        ):
            wait_for(lambda: relay.counters("server")["connect_attempts"], 5, "an attempt")
            relay.administer(0, flags=AdminFlag.FMAINT)
            assert receive_all(client) == b"other"


def test_without_an_eligible_server_the_client_is_closed_at_once() -> None:
    with RelayUnderTest(
        [RelayServer(None, 80), RelayServer("127.0.0.1", 9, checked=True)]
    ) as relay:
        with relay.connect() as client:
            client.sendall(b"request")
            assert client.recv(10) == b""
        relay.wait_terminations({"SC": 1})
        assert relay.counters("backend")["connect_attempts"] == 0
        assert relay.counters()["sessions"] == 0


def test_a_frontend_without_a_backend_closes_its_clients() -> None:
    with RelayUnderTest([("127.0.0.1", 9)], default_backend=None) as relay:
        with relay.connect() as client:
            assert client.recv(10) == b""
        relay.wait_terminations({"SC": 1})


def test_a_client_that_leaves_while_connecting_is_cc() -> None:
    timeouts = Timeouts(client_ms=600_000, connect_ms=5_000)
    with (
        Blackhole() as nowhere,
        RelayUnderTest([("127.0.0.1", nowhere.port)], timeouts=timeouts) as relay,
    ):
        relay.connect().close()
        relay.wait_terminations({"CC": 1})
        client = relay.connect()
        wait_for(lambda: relay.counters()["sessions"] == 1, 5, "accepted")
        reset(client)
        relay.wait_terminations({"CC": 2})
        assert relay.counters("backend")["client_aborts"] == 2


def test_bytes_sent_before_the_server_is_reached_are_delivered_even_after_a_fin() -> None:
    with silent_port() as port, Server(echo) as server:
        timeouts = Timeouts(connect_ms=300, client_ms=600_000, server_ms=600_000)
        with RelayUnderTest([("127.0.0.1", port)], retries=3, timeouts=timeouts) as relay:
            with relay.connect() as client:
                client.sendall(b"early" * 100)
                client.shutdown(socket.SHUT_WR)
                wait_for(lambda: relay.counters("server")["connect_attempts"], 5, "an attempt")
                relay.publish(0, *server.address)
                assert receive_all(client) == b"early" * 100
            relay.wait_terminations({"--": 1})


def test_a_client_that_stays_silent_while_connecting_is_timed_out() -> None:
    timeouts = Timeouts(client_ms=100, connect_ms=5_000)
    with (
        Blackhole() as nowhere,
        RelayUnderTest([("127.0.0.1", nowhere.port)], timeouts=timeouts) as relay,
    ):
        with relay.connect() as client:
            assert client.recv(10) == b""
        relay.wait_terminations({"cC": 1})


def test_an_address_without_a_route_counts_as_a_refusal() -> None:
    with (
        RelayUnderTest([("255.255.255.255", 80)], retries=1, timeouts=QUICK) as relay,
        relay.connect() as client,
    ):
        assert client.recv(10) == b""
        relay.wait_terminations({"SC": 1})
        assert relay.requests() == [(0, 0, 2, 0)]


def test_sessions_that_connected_count_their_time() -> None:
    with Server(echo) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            client.sendall(b"x")
            receive_count(client, 1)
        relay.wait_terminations({"--": 1})
        counters = relay.counters("server")
        assert counters["connected"] == counters["ended"] == 1
        assert counters["connect_time_max_ms"] <= counters["total_time_max_ms"]
