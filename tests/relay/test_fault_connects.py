"""Connects that fail at once, with limits, queues and redispatch: no worker ends, no place is lost.

A connect may fail before it began: no source port is left, no route leads there, the socket of a
server is missing. The session then seeks another server while its client's first bytes are at hand,
and may find itself in a queue.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from proxy.config.model.settings import Timeouts
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.faults import Action, Kind, Shim
from tests.support.relay.site import RelayServer, RelayUnderTest

pytestmark = pytest.mark.slow

LONG = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000, queue_ms=600_000)
SHORT = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=20, queue_ms=200)
AT_ONCE = (
    errno.EADDRNOTAVAIL,
    errno.ENETUNREACH,
    errno.ECONNREFUSED,
    errno.ENOENT,
    errno.ETIMEDOUT,
)
CLIENTS = 12  # at the same time: three for each place
WARM_UP = 16  # clients in a row that speak first: the relay awaits the next one's bytes
FIRST_BYTES = b"a client that speaks first\n"


@contextmanager
def limited_relay(
    folder: Path, timeouts: Timeouts, maxconn: int, workers: int = 1
) -> Iterator[tuple[RelayUnderTest, socket.socket, Shim]]:
    """A relay under the fault library: one listening server as two slots, each with `maxconn`."""
    shim = Shim(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        address = listener.getsockname()[:2]
        server = RelayServer(*address, maxconn=maxconn)
        started = RelayUnderTest(
            [server, server],
            workers=workers,
            timeouts=timeouts,
            redispatch=1,
            environment=shim.environ,
        )
        with started as relay:
            yield relay, listener, shim
    shim.close()


def speak(relay: RelayUnderTest) -> socket.socket:
    client = relay.connect()
    client.sendall(FIRST_BYTES)
    return client


def warm_up(relay: RelayUnderTest, listener: socket.socket) -> None:
    """Let the relay learn that clients speak first."""
    for _ in range(WARM_UP):
        with speak(relay), listener.accept()[0] as connection:
            assert connection.recv(100) == FIRST_BYTES
        wait_for(
            lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "the session has ended"
        )


def ends(client: socket.socket) -> bool:
    """Read to the end of a client's connection."""
    with client, suppress(OSError):
        while client.recv(65_536):
            pass
    return True


def received_by_servers(relay: RelayUnderTest) -> int:
    found: int = sum(relay.counters("server", slot)["bytes_in"] for slot in (0, 1))
    return found


def when_asked(shim: Shim, act: Callable[[], None]) -> None:
    """Act while the relay is held back before its armed call, then let it go on."""
    os.set_blocking(shim.bell, True)
    try:
        os.read(shim.bell, 1)
    finally:
        os.set_blocking(shim.bell, False)
    act()
    shim.acknowledge()


@pytest.mark.parametrize("error", AT_ONCE, ids=errno.errorcode.get)
def test_first_bytes_at_hand_wait_with_their_session_when_no_other_server_has_a_place(
    tmp_path: Path, error: int
) -> None:
    with ExitStack() as stack:
        relay, listener, shim = stack.enter_context(limited_relay(tmp_path, LONG, maxconn=2))
        warm_up(relay, listener)
        holders = [stack.enter_context(speak(relay)) for _ in range(2)]
        served = [stack.enter_context(listener.accept()[0]) for _ in holders]
        assert [connection.recv(100) for connection in served] == [FIRST_BYTES] * 2
        shim.arm(Kind.CONNECT, 1, Action.PEER, error)
        client = stack.enter_context(speak(relay))

        def fill_both() -> None:
            for slot in (0, 1):
                relay.administer(slot, maxconn=1)

        when_asked(shim, fill_both)
        wait_for(
            lambda: (
                relay.exit_status() is not None
                or relay.counters("backend")["bytes_in"] == (WARM_UP + 3) * len(FIRST_BYTES)
            ),
            PATIENCE_SECONDS,
            "the first bytes are counted",
        )
        assert relay.exit_status() is None, "the worker ended"
        assert shim.disarm()
        assert relay.counters("backend")["queued"] == 1
        assert received_by_servers(relay) == (WARM_UP + 2) * len(FIRST_BYTES), (
            "counted for no server yet"
        )
        holders[0].close()
        served[0].close()
        connection = stack.enter_context(listener.accept()[0])
        assert connection.recv(100) == FIRST_BYTES
        connection.sendall(b"answer")
        assert client.recv(100) == b"answer"
        assert received_by_servers(relay) == (WARM_UP + 3) * len(FIRST_BYTES), (
            "counted for the one it got"
        )


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RelayUnderTest, socket.socket, Shim]]:
    folder = tmp_path_factory.mktemp("limited")
    with limited_relay(folder, SHORT, maxconn=1, workers=2) as found:
        yield found


@pytest.mark.parametrize("error", AT_ONCE, ids=errno.errorcode.get)
@pytest.mark.parametrize("held", [0, 1, 2])
def test_every_connect_fails_and_no_place_is_lost(
    limited: tuple[RelayUnderTest, socket.socket, Shim], held: int, error: int
) -> None:
    relay, listener, shim = limited
    for _ in range(relay.workers):
        warm_up(relay, listener)
    ended = sum(relay.terminations().values())
    with ExitStack() as stack:
        stack.callback(shim.set, connect_error=0)
        for _ in range(held):  # what connected before holds its place
            stack.enter_context(speak(relay))
            stack.enter_context(listener.accept()[0])
        shim.set(connect_error=error)
        assert all(map(ends, [speak(relay) for _ in range(CLIENTS)]))
    assert [relay.exit_status(worker) for worker in range(relay.workers)] == [None, None]
    wait_for(
        lambda: sum(relay.terminations().values()) == ended + CLIENTS + held,
        PATIENCE_SECONDS,
        "every session has one end",
    )
    assert [relay.counters("server", slot)["sessions"] for slot in (0, 1)] == [0, 0]
    assert relay.counters("backend")["queued"] == 0
    assert relay.hints() == [0, 0]
