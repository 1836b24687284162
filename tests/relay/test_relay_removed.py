"""`on-removed`: what becomes of sessions whose address the server has no longer, and of no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.runtime import now_ms
from shm.states import AdminFlag
from tests.relay.test_relay_marked_down import alive, connected, ended
from tests.relay.test_relay_syscalls import SystemCalls
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.relay.worker import Backend
from tests.support.servers import Server, echo, silent_port

SHUTDOWN, DRAIN_MS = 0, 400


@pytest.fixture
def echoes() -> Iterator[list[Server]]:
    """Three servers, each on an address of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(Server(echo, f"127.88.4.{number}")) for number in (1, 2, 3)]


def two(
    echoes: list[Server], first: int | None, second: int | None = None, **fields: int
) -> RelayUnderTest:
    """A relay before two of the servers; what their lines say of removed addresses."""
    return RelayUnderTest(
        [
            RelayServer(*echoes[0].address, removed_drain_ms=first),
            RelayServer(*echoes[1].address, removed_drain_ms=second),
        ],
        **fields,
    )


def test_shutdown_ends_the_sessions_of_a_lost_address_and_no_others(echoes: list[Server]) -> None:
    with two(echoes, SHUTDOWN) as relay, ExitStack() as stack:
        clients = [connected(relay, stack) for _ in range(4)]
        relay.publish(1, None)  # its line says nothing: they are kept
        relay.publish(0, None)
        relay.wait_terminations({"D-": 2})
        assert ended(clients[0])
        assert ended(clients[2])
        assert alive(clients[1])
        assert alive(clients[3])
        assert relay.counters("server", 0)["sessions"] == 0
        wait_for(lambda: relay.hints() == [0, 2], PATIENCE_SECONDS, "the hints follow")


@pytest.mark.parametrize("elsewhere", ["address", "port"])
def test_a_server_that_moves_in_place_loses_the_sessions_from_before_the_move(
    echoes: list[Server], elsewhere: str
) -> None:
    with two(echoes, SHUTDOWN) as relay, ExitStack() as stack:
        target = echoes[2]
        if elsewhere == "port":
            target = stack.enter_context(Server(echo, echoes[0].host))
        clients = [connected(relay, stack) for _ in range(2)]
        relay.publish(0, *target.address)
        relay.wait_terminations({"D-": 1})
        assert ended(clients[0])
        after = [connected(relay, stack) for _ in range(2)]
        relay.publish(1, *echoes[0].address)  # a change of the table that is not theirs
        relay.publish(0, *target.address, weight=3)
        assert all(alive(client) for client in (clients[1], *after))
        assert target.accepted == 1
        assert relay.terminations() == {"D-": 1}


def test_what_operators_and_checks_do_removes_nothing(echoes: list[Server]) -> None:
    with two(echoes, SHUTDOWN, SHUTDOWN) as relay, ExitStack() as stack:
        before = [connected(relay, stack) for _ in range(2)]
        relay.override(0, *echoes[2].address)
        wait_for(lambda: relay.server_state(0).address == echoes[2].host, 5, "the override")
        overridden = [connected(relay, stack) for _ in range(2)]
        relay.administer(0, flags=AdminFlag.FMAINT)
        relay.administer(1, flags=AdminFlag.FDRAIN, weight=7)
        relay.judge(1, up=False)
        assert all(alive(client) for client in (*before, *overridden))
        relay.administer(0)
        relay.administer(1)
        relay.judge(1, up=True)
        assert echoes[2].accepted == 1
        relay.publish(0, "127.88.4.9", 9)  # the order falls, and with it what it led to
        relay.wait_terminations({"D-": 2})
        assert all(alive(client) for client in (before[1], overridden[1]))


def test_drain_gives_sessions_time_and_takes_only_those_that_need_longer(
    echoes: list[Server],
) -> None:
    with two(echoes, DRAIN_MS, 60_000) as relay, ExitStack() as stack:
        clients = [connected(relay, stack) for _ in range(6)]
        began_ms = now_ms()  # before the turn that may notice both changes
        relay.publish(1, None)
        relay.publish(0, *echoes[2].address)
        assert all(alive(client) for client in clients)
        clients[0].close()
        relay.wait_terminations({"--": 1})
        after = connected(relay, stack)
        relay.wait_terminations({"--": 1, "D-": 2})
        assert now_ms() - began_ms >= DRAIN_MS
        assert ended(clients[2])
        assert ended(clients[4])
        assert all(alive(client) for client in (*clients[1::2], after))


def test_busy_sessions_drain_on_time_too(echoes: list[Server]) -> None:
    with two(echoes, DRAIN_MS, None) as relay, ExitStack() as stack:
        busy = connected(relay, stack)
        relay.publish(0, None)
        rounds = 0
        while rounds < 100_000:
            try:
                busy.sendall(b"x")
                if not busy.recv(10):
                    break
            except OSError:
                break
            rounds += 1
        assert rounds > 1
        relay.wait_terminations({"D-": 1})


def test_an_address_that_comes_back_in_time_ends_nothing(echoes: list[Server]) -> None:
    with two(echoes, DRAIN_MS, 2 * DRAIN_MS) as relay, ExitStack() as stack:
        clients = [connected(relay, stack) for _ in range(2)]
        relay.publish(0, None)
        relay.publish(1, None)
        assert alive(clients[0])  # the relay has seen it, or will see both at once
        relay.publish(0, *echoes[0].address)
        relay.wait_terminations({"D-": 1})  # the other, whose time is longer
        assert alive(clients[0])
        relay.publish(0, *echoes[2].address)
        relay.wait_terminations({"D-": 2})


def test_a_session_that_still_connects_ends_as_dc_and_one_that_waits_goes_on(
    echoes: list[Server],
) -> None:
    full = Backend("127.88.4.7").fill()
    with ExitStack() as stack:
        stack.callback(full.close)
        server = RelayServer(full.host, full.port, removed_drain_ms=SHUTDOWN)
        relay = stack.enter_context(RelayUnderTest([server]))
        client = stack.enter_context(relay.connect())
        wait_for(lambda: relay.counters("server", 0)["sessions"] == 1, 10, "the session begins")
        relay.publish(0, *echoes[0].address)
        relay.wait_terminations({"DC": 1})
        assert ended(client)
    with silent_port() as port, ExitStack() as stack:
        server = RelayServer("127.0.0.1", port, removed_drain_ms=SHUTDOWN)
        relay = stack.enter_context(RelayUnderTest([server]))
        client = stack.enter_context(relay.connect())
        wait_for(lambda: relay.counters("server", 0)["retries"] >= 1, 10, "it waits to try again")
        relay.publish(0, *echoes[0].address)
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        assert relay.terminations() == {}


def test_who_waits_for_a_place_goes_to_where_the_server_is_now(echoes: list[Server]) -> None:
    server = RelayServer(*echoes[0].address, removed_drain_ms=SHUTDOWN, maxconn=1)
    with RelayUnderTest([server]) as relay, ExitStack() as stack:
        first = connected(relay, stack)
        second = stack.enter_context(relay.connect())
        second.sendall(b"hello")
        wait_for(lambda: relay.counters("backend", 0)["sessions"] == 2, 10, "the second waits")
        relay.publish(0, *echoes[2].address)
        relay.wait_terminations({"D-": 1})
        assert ended(first)
        assert second.recv(10) == b"hello"
        assert [echo.accepted for echo in echoes] == [1, 0, 1]
        assert relay.terminations() == {"D-": 1}


def test_ipv6_and_the_port_that_clients_came_to_are_recognised(echoes: list[Server]) -> None:
    witness = RelayServer(*echoes[0].address, removed_drain_ms=2 * DRAIN_MS)
    with Server(echo, "::1") as six, ExitStack() as stack:
        server = RelayServer("::1", six.port, removed_drain_ms=DRAIN_MS)
        relay = stack.enter_context(RelayUnderTest([server, witness]))
        clients = [connected(relay, stack) for _ in range(2)]
        for port in (six.port + 1, six.port):
            relay.publish(0, "::1", port)
        relay.publish(1, None)
        relay.wait_terminations({"D-": 1})
        assert alive(clients[0])
        relay.publish(0, "127.0.0.1", six.port)
        relay.wait_terminations({"D-": 2})
    with Server(echo) as four, ExitStack() as stack:
        server = RelayServer(None, 0, port_relative=True, removed_drain_ms=DRAIN_MS)
        relay = stack.enter_context(RelayUnderTest([server, witness]))
        offset = (four.port - relay.address[1]) % 65_536
        relay.publish(0, "127.0.0.1", offset)
        clients = [connected(relay, stack) for _ in range(2)]
        relay.publish(0, None)
        relay.publish(0, "127.0.0.1", offset)
        relay.publish(1, None)
        relay.wait_terminations({"D-": 1})
        assert four.accepted == 1
        relay.publish(0, "127.0.0.1", (offset + 1) % 65_536)
        relay.wait_terminations({"D-": 2})


@pytest.mark.slow
def test_many_sessions_of_two_workers_end_and_none_of_another_server(echoes: list[Server]) -> None:
    with two(echoes, SHUTDOWN, workers=2) as relay, ExitStack() as stack:
        clients = [connected(relay, stack) for _ in range(400)]
        for client in clients[::5]:
            client.close()
        relay.wait_terminations({"--": 80})
        kept = [client for client in clients if client.fileno() >= 0]
        doomed = [relay.counters("server", 0, row)["sessions"] for row in range(2)]
        assert min(doomed) > 0
        relay.publish(0, *echoes[2].address)
        relay.wait_terminations({"--": 80, "D-": sum(doomed)})
        after = [connected(relay, stack) for _ in range(50)]
        assert all(alive(client) for client in after)
        assert relay.counters("server", 1)["sessions"] == len(kept) - sum(doomed) + 25
        assert relay.counters("server", 0)["sessions"] == 25


@pytest.mark.slow
def test_only_what_a_change_of_the_slot_concerns_is_asked_where_it_leads(
    echoes: list[Server], tmp_path: Path
) -> None:
    with two(echoes, 60_000, 60_000) as relay, ExitStack() as stack:
        with SystemCalls(relay.pid(), tmp_path) as calls:
            clients = [connected(relay, stack) for _ in range(10)]
            relay.administer(0, weight=5)
            relay.publish(0, *echoes[0].address, weight=9)
            assert all(alive(client) for client in clients)
        assert calls.counts["getpeername"] == 0
        assert calls.counts["connect"] == 10
        with SystemCalls(relay.pid(), tmp_path) as calls:
            relay.publish(0, *echoes[2].address)
            wait_for(
                lambda: relay.status().generation_seen == relay.call("table_generation"),
                5, "the relay has looked",
            )  # fmt: skip
            assert all(alive(client) for client in clients)
        assert calls.counts["getpeername"] == 5
        assert relay.terminations() == {}
