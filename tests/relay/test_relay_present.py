"""Sessions count for the address that they connected to: limits and loads look at the present one."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.config.model.settings import Balance, Timeouts
from tests.relay.test_relay_marked_down import alive
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Blackhole, CountingServer, Server, echo, silent_port

LONG = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000, queue_ms=600_000)
HASTY = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=100, queue_ms=600_000)
PLACES = 2
QUIET_SECONDS = (
    0.2  # in which a client that has to wait is not served; a slow machine changes nothing
)


@pytest.fixture
def echoes() -> Iterator[list[Server]]:
    """Four servers, each on an address of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(Server(echo, f"127.88.9.{number}")) for number in range(1, 5)]


def limited(servers: list[Server], workers: int = 1, **fields: object) -> RelayUnderTest:
    places = [RelayServer(*server.address, maxconn=PLACES) for server in servers]
    return RelayUnderTest(places, workers=workers, timeouts=LONG, **fields)


def asking(relay: RelayUnderTest, stack: ExitStack) -> socket.socket:
    """A client that has asked, and may have to wait."""
    client = stack.enter_context(relay.connect())
    client.sendall(b"hello")
    return client


def served(client: socket.socket) -> bool:
    return client.recv(5) == b"hello"


def waits(client: socket.socket) -> bool:
    client.settimeout(QUIET_SECONDS)
    try:
        client.recv(5)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_SECONDS)
    return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.LEASTCONN, Balance.SOURCE])
def test_sessions_at_former_addresses_keep_nobody_from_the_present_ones(
    echoes: list[Server], workers: int, balance: Balance
) -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(limited(echoes[:2], workers, balance=balance))
        places = PLACES if balance is Balance.SOURCE else 2 * PLACES
        before = [asking(relay, stack) for _ in range(places)]
        assert all(map(served, before))
        relay.publish(0, *echoes[2].address)
        relay.publish(1, *echoes[3].address)
        after = [asking(relay, stack) for _ in range(places)]
        assert all(map(served, after))
        assert waits(asking(relay, stack))
        assert sum(server.accepted for server in echoes[2:]) == places
        assert relay.counters("server", 0)["sessions"] + relay.counters("server", 1)[
            "sessions"
        ] == (2 * places)
        wait_for(lambda: sum(relay.hints()) == places, PATIENCE_SECONDS, "the hints follow")
        assert all(map(alive, before))
        for client in (*before, *after):
            client.close()
        wait_for(
            lambda: relay.counters()["sessions"] == 1, PATIENCE_SECONDS, "the one that waited stays"
        )
        wait_for(lambda: sum(relay.hints()) == 1, PATIENCE_SECONDS, "the hints follow")


def test_an_address_that_comes_back_has_its_sessions_still(echoes: list[Server]) -> None:
    first, second = echoes[:2]
    with ExitStack() as stack:
        relay = stack.enter_context(limited([first]))
        at_first = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, at_first))
        relay.publish(0, *second.address)
        at_second = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, at_second))
        relay.publish(0, *first.address)
        later = asking(relay, stack)
        assert waits(later)
        at_second[0].close()  # it is no place of the first one
        assert waits(later)
        at_first[0].close()
        assert served(later)
        assert (first.accepted, second.accepted) == (PLACES + 1, PLACES)
        assert all(map(alive, (at_first[1], at_second[1], later)))


def test_a_limit_that_comes_later_counts_the_sessions_that_are_there(echoes: list[Server]) -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(
            RelayUnderTest([RelayServer(*echoes[0].address)], timeouts=LONG)
        )
        clients = [asking(relay, stack) for _ in range(3)]
        assert all(map(served, clients))
        relay.administer(0, maxconn=3)
        later = asking(relay, stack)
        assert waits(later)
        relay.publish(0, *echoes[1].address)
        assert served(later)
        clients[0].close()
        assert all(map(alive, (*clients[1:], later)))


def test_a_killed_worker_takes_its_sessions_out_of_all_counts(echoes: list[Server]) -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(limited(echoes[:1], 2))
        clients = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, clients))
        relay.publish(0, *echoes[1].address)
        after = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, after))
        wait_for(lambda: relay.hints() == [PLACES], PATIENCE_SECONDS, "the hints follow")
        for worker in (0, 1):
            relay.signal(signal.SIGKILL, worker)
            wait_for(
                lambda worker=worker: relay.exit_status(worker) is not None,
                PATIENCE_SECONDS,
                "it is gone",
            )
            relay.restart(worker)
        wait_for(lambda: relay.hints() == [0], PATIENCE_SECONDS, "the hints follow")
        again = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, again))
        assert waits(asking(relay, stack))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_however_addresses_come_and_go_no_server_has_too_many_and_no_place_is_lost(
    seed: int,
) -> None:
    """One address refuses; a client that is told to try again finds the present one."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        servers = [stack.enter_context(CountingServer(PLACES)) for _ in range(3)]
        addresses = [("127.0.0.1", server.port) for server in servers]
        refusing = ("127.0.0.1", stack.enter_context(silent_port()))
        relay = stack.enter_context(
            RelayUnderTest(
                [RelayServer(*addresses[0], maxconn=PLACES)],
                workers=chance.choice([1, 2, 3]),
                timeouts=HASTY,
                retries=1_000,
            )
        )
        clients: list[socket.socket] = []
        for _ in range(150):
            action = chance.random()
            if action < 0.5:
                clients.append(asking(relay, stack))
            elif action < 0.75 and clients:
                clients.pop(chance.randrange(len(clients))).close()
            else:
                relay.publish(0, *chance.choice([*addresses, refusing]))
        relay.publish(0, *addresses[0])
        clients.extend(asking(relay, stack) for _ in range(PLACES))
        wait_for(
            lambda: max(server.most for server in servers) >= PLACES, PATIENCE_SECONDS, "all places"
        )
        for client in clients:
            client.close()
        wait_for(lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "all have ended")
        wait_for(lambda: relay.hints() == [0], PATIENCE_SECONDS, "the hints follow")
        assert max(server.most for server in servers) == PLACES
        last = [asking(relay, stack) for _ in range(PLACES)]
        assert all(client.recv(1) == b"s" for client in last)
        assert waits(asking(relay, stack))


def test_a_session_that_connects_elsewhere_keeps_no_place_of_the_present_address(
    echoes: list[Server],
) -> None:
    """Its connect is under way to a queue that is full when the server gets another address."""
    with ExitStack() as stack:
        full = "127.0.0.1", stack.enter_context(Blackhole()).port
        relay = stack.enter_context(
            RelayUnderTest([RelayServer(*full, maxconn=PLACES)], timeouts=LONG)
        )
        connecting = [asking(relay, stack) for _ in range(PLACES)]
        wait_for(
            lambda: relay.counters("server", 0)["connect_attempts"] == PLACES,
            PATIENCE_SECONDS,
            "they connect",
        )
        relay.publish(0, *echoes[0].address)
        after = [asking(relay, stack) for _ in range(PLACES)]
        assert all(map(served, after))
        assert waits(asking(relay, stack))
        assert waits(connecting[0])
