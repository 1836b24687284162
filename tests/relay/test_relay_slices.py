"""What concerns many sessions at once is done in slices: the relay serves others in between."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.config.model.settings import Balance, Timeouts
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest

pytestmark = pytest.mark.slow

CLIENTS = 1_500
ENDS_MAX = 64 + 200  # sessions that end in a turn: one slab more than the slice
SERVED_MAX = 128
LONG = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000, queue_ms=600_000)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server whose kernel accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=4_096) as listening:
        yield listening


def crowd(relay: RelayUnderTest, stack: ExitStack) -> None:
    """As many clients, each with a session."""
    for _ in range(CLIENTS):
        stack.enter_context(relay.connect())
    wait_for(
        lambda: relay.counters()["sessions"] == CLIENTS, PATIENCE_SECONDS, "all have a session"
    )


def connected(relay: RelayUnderTest) -> bool:
    return relay.counters("server", 0)["sessions"] == CLIENTS


def test_the_sessions_of_a_server_that_goes_down_end_in_slices(silent: socket.socket) -> None:
    server = RelayServer(*silent.getsockname()[:2], shutdown_down=True)
    with ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest([server], timeouts=LONG))
        crowd(relay, stack)
        wait_for(lambda: connected(relay), PATIENCE_SECONDS, "all are at the server")
        before = relay.counters()["epoll_turns"]
        relay.administer(0, flags=AdminFlag.FMAINT)
        wait_for(lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "all end")
        assert relay.counters()["epoll_turns"] - before >= CLIENTS // ENDS_MAX


def test_a_server_that_is_back_at_once_loses_its_sessions_all_the_same(
    silent: socket.socket,
) -> None:
    server = RelayServer(*silent.getsockname()[:2], shutdown_down=True)
    with ExitStack() as stack:
        relay = stack.enter_context(RelayUnderTest([server], timeouts=LONG))
        crowd(relay, stack)
        wait_for(lambda: connected(relay), PATIENCE_SECONDS, "all are at the server")
        relay.administer(0, flags=AdminFlag.FMAINT)
        wait_for(lambda: relay.counters()["sessions"] < CLIENTS, PATIENCE_SECONDS, "the first end")
        relay.administer(0, flags=0)
        wait_for(lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "all end")
        with relay.connect() as later:
            wait_for(
                lambda: relay.counters("server", 0)["sessions"] == 1, PATIENCE_SECONDS, "it is used"
            )
            relay.administer(0, flags=0, weight=7)  # another change of the table
            later.settimeout(0.2)
            with pytest.raises(TimeoutError):
                later.recv(1)


def test_a_queue_whose_server_goes_down_is_emptied_in_slices(silent: socket.socket) -> None:
    server = RelayServer(*silent.getsockname()[:2], maxconn=1)
    with ExitStack() as stack:
        relay = stack.enter_context(
            RelayUnderTest([server], timeouts=LONG, balance=Balance.SOURCE, redispatch=1)
        )
        crowd(relay, stack)
        before = relay.counters()["epoll_turns"]
        relay.administer(0, flags=AdminFlag.FMAINT)
        wait_for(lambda: relay.counters()["sessions"] == 1, PATIENCE_SECONDS, "the queue is empty")
        assert relay.counters()["epoll_turns"] - before >= CLIENTS // SERVED_MAX
