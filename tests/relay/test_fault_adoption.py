"""A relay that stops softly adopts the socket of a dead sibling, empties it, and still leaves."""

from __future__ import annotations

import signal
import socket

from shm.states import ProcessCommand
from tests.support.common import wait_for
from tests.support.relay.site import RelayUnderTest


def test_a_socket_adopted_after_the_stop_word_does_not_keep_a_relay() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        RelayUnderTest([server.getsockname()[:2]], workers=2) as relay,
        relay.connect() as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            holder = next(w for w in range(2) if relay.counters(row=w)["sessions"] == 1)
            relay.command(ProcessCommand.SOFT_STOP, holder)
            relay.signal(signal.SIGKILL, 1 - holder)
            relay.assign(1 - holder, holder)
            client.sendall(b"still here")
            assert accepted.recv(100) == b"still here"
        assert client.recv(1) == b""
        client.close()
        wait_for(lambda: relay.exit_status(holder) is not None, 5, "the relay leaves")
