"""Listeners that a limit stops are served in turn, and a free place is taken without a sweep."""

from __future__ import annotations

import select
import selectors
import signal
import socket

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayUnderTest
from tests.support.relay.turns import Turns
from tests.support.servers import Server, holding, receive_count, reset

NEVER_MS = 3_600_000
LIFELESS_MS = 400  # more than a worker may be silent before the others wait no more for it

ROUNDS_MAX = 20


def binds(count: int) -> tuple[Endpoint, ...]:
    return (Endpoint(SocketFamily.IPV4, "127.0.0.1"),) * count


def serve_alike(turns: Turns, count: int, spread: int) -> None:
    """Let so many be served, so many at each listener within the spread.

    A crowd that the machine holds up leaves places free, and then no turn counts: such a
    round is played again.
    """
    for _ in range(ROUNDS_MAX):
        served = turns.serve(count)
        if max(served) - min(served) <= spread:
            return
    pytest.fail(f"{ROUNDS_MAX} rounds, the last one {served}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize(
    ("limit", "most"),
    # a rate that a busy machine reaches, too: below it no listener has to wait for a turn
    [("global_maxconn", 4), ("maxconn", 4), ("global_rate", 60), ("session_rate", 60)],
)
def test_clients_of_each_listener_are_served_alike(workers: int, limit: str, most: int) -> None:
    clients = [8, 8, 24]
    count = 360 if limit.endswith("maxconn") else 180
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=workers, binds=binds(3), **{limit: most}) as relay,
    ):
        turns = Turns(relay.addresses, clients)
        turns.serve(most + 30)  # those that came before any client had to wait
        serve_alike(turns, count, count // 3 * 5 // 100)
        turns.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_one_listener_against_a_hundred(workers: int) -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=workers, binds=binds(101), global_maxconn=4) as (
            relay
        ),
    ):
        turns = Turns(relay.addresses, [8] + [1] * 100)
        turns.serve(200)
        serve_alike(turns, 101 * 20, 3)
        turns.close()


@pytest.mark.parametrize("limit", ["global_maxconn", "maxconn", "bind_maxconn"])
def test_a_place_that_another_worker_frees_is_taken_without_a_sweep(limit: str) -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=3, sweep_ms=NEVER_MS, **{limit: 1}) as relay,
    ):
        first = relay.connect()
        assert receive_count(first, 1) == b"x"
        waiting = stop_all(relay)
        first.close()
        serve_all(waiting)


@pytest.mark.parametrize("limit", ["global_maxconn", "maxconn", "bind_maxconn"])
def test_nobody_waits_for_the_turn_of_a_worker_that_is_stopped(limit: str) -> None:
    """Worker 2 stands still with listeners whose turn is near; another one has its socket."""
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=3, sweep_ms=NEVER_MS, **{limit: 1}) as relay,
    ):
        first = relay.connect()
        while receive_count(first, 1) == b"x" and relay.counters(row=2)["sessions"]:
            first.close()
            first = relay.connect()
        waiting = stop_all(relay)
        relay.signal(signal.SIGSTOP, 2)
        beat_ms = relay.status(2).relay_beat_ms
        wait_for(
            lambda: relay.status(0).relay_beat_ms > beat_ms + LIFELESS_MS, 30, "its beat is old"
        )
        relay.assign(2, 0)
        first.close()
        serve_all(waiting)


def stop_all(relay: RelayUnderTest) -> list[socket.socket]:
    """Clients in the queues of all workers, whose listeners are all stopped."""
    waiting = [relay.connect() for _ in range(40)]
    wait_for(
        lambda: all(relay.counters(row=row)["maxconn_pauses"] for row in range(relay.workers)),
        30,
        "all are stopped",
    )
    return waiting


def serve_all(clients: list[socket.socket]) -> None:
    """All of them are served, in whatever order, each leaving as soon as it is."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(PATIENCE_SECONDS)
            assert ready, f"{len(selector.get_map())} wait beside a free place"
            for key, _ in ready:
                client = key.fileobj
                assert isinstance(client, socket.socket)
                assert client.recv(1) == b"x"
                selector.unregister(client)
                client.close()


def test_new_clients_do_not_pass_those_that_a_limit_has_kept_waiting() -> None:
    """Several places are given back at once, and clients come to other listeners just then."""
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], binds=binds(4), global_maxconn=4) as relay,
    ):
        first = [relay.connect() for _ in range(4)]
        for client in first:
            assert receive_count(client, 1) == b"x"
        waiting = []
        for bind in range(2):
            pauses = relay.counters()["maxconn_pauses"]
            waiting.append(relay.connect(bind=bind))
            wait_for(
                lambda before=pauses: relay.counters()["maxconn_pauses"] > before, 30, "it stops"
            )
        relay.signal(signal.SIGSTOP, 0)
        for client in first[:2]:
            reset(client)  # both end at once
        newcomers = [relay.connect(bind=bind) for bind in (2, 3)]
        relay.signal(signal.SIGCONT, 0)
        for client in waiting:
            assert receive_count(client, 1) == b"x"
        readable, _, _ = select.select(newcomers, [], [], 0)
        assert not readable
        for client in (*first[2:], *waiting):
            client.close()
        serve_all(newcomers)
