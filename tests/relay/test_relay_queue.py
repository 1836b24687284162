"""`maxconn` of a server holds over all workers, and waiting sessions are served in order."""

from __future__ import annotations

import contextlib
import itertools
import select
import signal
import socket

import pytest

from proxy.config.model.settings import Balance, Endpoint, SocketFamily, Timeouts
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, all_stopped, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import CountingServer, Server, holding, receive_count

PLACES = 5
LONG_MS = 600_000  # more than a test waits for what must come
PATIENT = Timeouts(client_ms=LONG_MS, server_ms=LONG_MS, connect_ms=LONG_MS, queue_ms=LONG_MS)


def all_seen(relay: RelayUnderTest) -> bool:
    newest = relay.call("table_generation")
    return all(relay.status(worker).generation_seen == newest for worker in range(relay.workers))


def queued(relay: RelayUnderTest, of: str = "backend", index: int = 0) -> int:
    found: int = relay.counters(of, index)["queued"]
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_who_waits_is_served_in_the_order_of_arrival(workers: int) -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest(
            [RelayServer(*server.address, maxconn=1)],
            workers=workers,
            timeouts=Timeouts(connect_ms=LONG_MS),
        ) as relay,
    ):
        clients = []
        for number in range(12):
            clients.append(relay.connect())
            wait_for(lambda: server.accepted == 1, 5, "the first is served")
            wait_for(lambda: queued(relay) == number, 5, "it waits")  # noqa: B023
        for number, client in enumerate(clients):
            assert receive_count(client, 1) == b"x"
            assert queued(relay) == len(clients) - 1 - number
            waiting, _, _ = select.select(clients[number + 1 :], [], [], 0)
            assert waiting == []
            client.close()
        relay.wait_terminations({"--": 12})
        counters = relay.counters("server")
        assert counters["sessions_max"] == 1
        assert counters["sessions_total"] == 12
        assert relay.counters("backend")["queued_max"] == 11
        assert relay.counters("backend")["queue_time_max_ms"] > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_with_a_place_is_taken_before_anybody_waits(workers: int) -> None:
    with CountingServer() as first, CountingServer() as second:
        places = [RelayServer("127.0.0.1", server.port, maxconn=2) for server in (first, second)]
        with RelayUnderTest(places, workers=workers) as relay:
            clients = [relay.connect() for _ in range(4)]
            for client in clients:
                assert receive_count(client, 1) == b"s"
            assert len(first.open) == len(second.open) == 2
            for client in clients:
                client.close()


@pytest.mark.slow
@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.LEASTCONN, Balance.SOURCE])
def test_two_hundred_clients_at_once_share_the_places(balance: Balance) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(CountingServer(PLACES)) for _ in range(3)]
        relay = stack.enter_context(
            RelayUnderTest(
                [RelayServer("127.0.0.1", server.port, maxconn=PLACES) for server in servers],
                workers=2,
                balance=balance,
                timeouts=Timeouts(connect_ms=LONG_MS),
            )
        )
        waiting = {relay.connect() for _ in range(200)}
        served = 0
        while waiting:
            readable, _, _ = select.select(waiting, [], [], PATIENCE_SECONDS)
            assert readable, f"{len(waiting)} clients wait for ever"
            for client in readable:
                assert client.recv(10) == b"s"
                client.close()
                waiting.discard(client)
                served += 1
        assert served == sum(server.accepted for server in servers) == 200
        assert max(server.most for server in servers) == PLACES
        relay.wait_terminations({"--": 200})
        assert queued(relay) == 0


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_leaves_nobody_waiting_for_ever() -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(CountingServer(PLACES)) for _ in range(3)]
        relay = stack.enter_context(
            RelayUnderTest(
                [RelayServer("127.0.0.1", server.port, maxconn=PLACES) for server in servers],
                workers=2,
                timeouts=Timeouts(connect_ms=LONG_MS),
            )
        )
        waiting = {relay.connect() for _ in range(200)}
        served = lost = 0
        while waiting:
            readable, _, _ = select.select(waiting, [], [], PATIENCE_SECONDS)
            assert readable, f"{len(waiting)} clients wait for ever"
            for client in readable:
                got = b""
                with contextlib.suppress(ConnectionError):
                    got = client.recv(10)
                served += got == b"s"
                lost += got == b""
                client.close()
                waiting.discard(client)
            if served >= 30 and not lost:
                relay.signal(signal.SIGKILL, 1)
                wait_for(lambda: relay.exit_status(1) is not None, 5, "it is dead")
                relay.restart(1)
        assert served + lost == 200
        assert lost > 0
        assert served > 60
        assert max(server.most for server in servers) <= PLACES
        wait_for(lambda: relay.counters("server")["sessions"] == 0, 5, "all places are free")


def test_the_operator_moves_the_limit_of_a_running_server() -> None:
    """A server without `maxconn` gets one, and a raised one admits waiting sessions."""
    with (
        CountingServer() as server,
        RelayUnderTest([RelayServer("127.0.0.1", server.port)], workers=2) as relay,
    ):
        relay.administer(0, maxconn=2)
        clients = [relay.connect() for _ in range(5)]
        wait_for(lambda: len(server.open) == 2 and queued(relay) == 3, 5, "three wait")
        relay.administer(0, maxconn=4)
        wait_for(lambda: len(server.open) == 4 and queued(relay) == 1, 5, "one waits")
        relay.administer(0, maxconn=0)
        for client in clients:
            assert receive_count(client, 1) == b"s"
            client.close()


def test_minconn_moves_the_limit_with_the_load() -> None:
    """Below fullconn sessions of the backend the limit is their share of maxconn, from minconn."""
    with CountingServer() as server:
        place = RelayServer("127.0.0.1", server.port, maxconn=8, minconn=2)
        with RelayUnderTest([place], workers=2, fullconn=16) as relay:
            clients: list[socket.socket] = []
            for sessions, limit in ((2, 2), (4, 2), (6, 3), (8, 4), (16, 8), (20, 8)):
                clients += [relay.connect() for _ in range(sessions - len(clients))]
                wait_for(
                    lambda: len(server.open) == limit and queued(relay) == sessions - limit,  # noqa: B023
                    5,
                    f"{limit} of {sessions} are served",
                )
            for client in clients:
                client.close()


@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.SOURCE])
def test_a_stopped_worker_with_the_lowest_ticket_keeps_nobody_waiting(balance: Balance) -> None:
    """Its session has its turn again when it lives again; what it holds counts meanwhile."""
    endpoints = (Endpoint(SocketFamily.IPV4, "127.0.0.1"),) * 2
    with (
        CountingServer(2) as server,
        RelayUnderTest(
            [RelayServer("127.0.0.1", server.port, maxconn=2)],
            workers=2,
            binds=endpoints,
            balance=balance,
            timeouts=Timeouts(connect_ms=LONG_MS),
        ) as relay,
    ):
        of = "backend" if balance is Balance.ROUNDROBIN else "server"
        for position, worker in enumerate((0, 0, 1, 1)):
            relay.assign(position, worker)
        wait_for(lambda: all_seen(relay), 5, "each worker has an address of its own")
        held = relay.connect(bind=1)  # by the worker that will be stopped
        first = relay.connect(bind=0)
        assert receive_count(held, 1) == receive_count(first, 1) == b"s"
        waiting = []
        for bind in (1, 0, 0):
            waiting.append(relay.connect(bind=bind))
            wait_for(lambda: queued(relay, of) == len(waiting), 5, "it waits")
        stopped, *others = waiting
        relay.signal(signal.SIGSTOP, 1)
        wait_for(lambda: all_stopped(relay.pid(1)), 5, "it does nothing more")
        first.close()
        for client in others:
            assert receive_count(client, 1) == b"s", "served though a lower ticket is published"
            if client is not others[-1]:
                client.close()
        assert select.select([stopped], [], [], 0) == ([], [], [])
        relay.signal(signal.SIGCONT, 1)
        others[-1].close()
        assert receive_count(stopped, 1) == b"s"
        assert server.most == 2
        for client in (held, stopped):
            client.close()
        relay.wait_terminations({"--": 5})
        assert queued(relay, of) == 0


@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.SOURCE])
def test_who_waits_for_the_only_server_waits_through_its_maintenance(balance: Balance) -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest(
            [RelayServer(*server.address, maxconn=1)], timeouts=PATIENT, balance=balance
        ) as relay,
    ):
        clients = [relay.connect() for _ in range(3)]
        assert receive_count(clients[0], 1) == b"x"
        of = "server" if balance is Balance.SOURCE else "backend"
        wait_for(lambda: queued(relay, of) == 2, PATIENCE_SECONDS, "two wait")
        relay.administer(0, flags=AdminFlag.FMAINT)
        wait_for(lambda: all_seen(relay), PATIENCE_SECONDS, "the relay knows")
        turns = relay.counters()["epoll_turns"]
        wait_for(
            lambda: relay.counters()["epoll_turns"] > turns + 1, PATIENCE_SECONDS, "it has looked"
        )
        relay.administer(0)
        for leaving, next_one in itertools.pairwise(clients):
            leaving.close()
            assert receive_count(next_one, 1) == b"x"
        clients[-1].close()
