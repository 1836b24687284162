"""Bytes go through unchanged, in both directions, in their order, at any speed of either end."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily, Timeouts
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, echo, receive_all, receive_count

MEGABYTE = 1_000_000
STALL_BYTES_MAX = 65_536  # SCRATCH_BYTES of state/types.pxd


def test_what_a_client_sends_comes_back_from_an_echo_server() -> None:
    with Server(echo) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            for size in (1, 100, 1_460, 65_536, 300_000):
                message = random.Random(size).randbytes(size)
                client.sendall(message)
                assert receive_count(client, size) == message
        relay.wait_terminations({"--": 1})
        counters = relay.counters("server")
        assert counters["bytes_in"] == counters["bytes_out"] == 367_097
        assert relay.counters("frontend")["bytes_in"] == 367_097


def test_a_server_that_speaks_first_is_heard_at_once() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        echo(connection)

    with Server(greet) as server, RelayUnderTest([server.address]) as relay:
        waited = []
        for _ in range(20):
            began = time.monotonic()
            with relay.connect() as client:
                assert receive_count(client, 11) == b"220 ready\r\n"
            waited.append(time.monotonic() - began)
        assert statistics.median(waited) < 1, "each waits for something"


def test_a_silent_client_is_connected_in_moments_though_all_others_spoke_first() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        echo(connection)

    with Server(greet) as server, RelayUnderTest([server.address]) as relay:
        for _ in range(3):
            for _ in range(30):
                with relay.connect() as client:
                    client.sendall(b"x")
                    assert receive_count(client, 12) == b"220 ready\r\nx"
            with relay.connect() as client:
                assert receive_count(client, 11) == b"220 ready\r\n"


def test_a_client_that_ends_sending_gets_its_whole_answer() -> None:
    answer = random.Random(1).randbytes(3 * MEGABYTE)

    def answer_after_the_end(connection: socket.socket) -> None:
        assert receive_all(connection) == b"request"
        connection.sendall(answer)

    with Server(answer_after_the_end) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            client.sendall(b"request")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == answer
        relay.wait_terminations({"--": 1})


def test_a_server_that_ends_sending_still_gets_what_the_client_sends() -> None:
    received: list[bytes] = []

    def end_first(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        received.append(receive_all(connection))

    upload = random.Random(2).randbytes(MEGABYTE)
    with Server(end_first) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            assert receive_all(client) == b"bye"
            client.sendall(upload)
            client.shutdown(socket.SHUT_WR)
            wait_for(lambda: received, 10, "the server has everything")
        assert received[0] == upload
        relay.wait_terminations({"--": 1})


@pytest.mark.slow
@pytest.mark.parametrize("splice", [True, False])
def test_bulk_in_both_directions_at_once_is_byte_exact(splice: bool) -> None:
    upload = random.Random(3).randbytes(20 * MEGABYTE)
    with Server(echo) as server, RelayUnderTest([server.address], splice=splice) as relay:
        with relay.connect() as client:
            sender = threading.Thread(target=client.sendall, args=(upload,))
            sender.start()
            assert receive_count(client, len(upload)) == upload
            sender.join()
        relay.wait_terminations({"--": 1})
        counters = relay.counters()
        assert (counters["bytes_spliced"] > 0) == splice
        assert counters["pipes_used"] == counters["buffer_bytes"] == 0


@pytest.mark.slow
def test_urgent_data_in_the_middle_of_spliced_bulk_loses_nothing_else() -> None:
    """A splice at an urgent mark returns as if there were nothing, or as if it were the end.

    The kernel gives up an urgent byte as an ordinary one when another mark follows too soon.
    """
    parts = [random.Random(seed).randbytes(2 * MEGABYTE).replace(b"!", b".") for seed in range(4)]

    def send_with_marks(connection: socket.socket) -> None:
        connection.recv(1)
        for part in parts:
            connection.sendall(part)
            connection.send(b"!", socket.MSG_OOB)

    with Server(send_with_marks) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            client.sendall(b"g")
            received = receive_all(client)
        assert received.replace(b"!", b"") == b"".join(parts)
        assert relay.counters()["bytes_spliced"] > 0


@pytest.mark.slow
def test_bytes_behind_an_urgent_mark_are_not_left_lying() -> None:
    """All of them are in the relay's socket while it is stalled: no event will come for them.

    No time-out is set, because one would count as a FIN and bring an event.
    """
    stalled = threading.Event()
    sent: list[int] = []

    def fill_then_mark(connection: socket.socket) -> None:
        connection.recv(1)
        total = 0
        while not stalled.is_set():
            connection.sendall(bytes(65_536))
            total += 65_536
            stalled.wait(0.001)
        connection.send(b"!", socket.MSG_OOB)
        connection.sendall(bytes(50_000))
        sent.append(total + 50_000)
        connection.recv(1)

    with (
        Server(fill_then_mark) as server,
        RelayUnderTest([server.address], timeouts=Timeouts()) as relay,
        relay.connect() as client,
    ):
        client.sendall(b"g")
        wait_for(lambda: relay.counters()["pipes_used"] == 1, 20, "a spliced stall")
        stalled.set()
        wait_for(lambda: sent, 10, "the server has sent all")
        assert receive_count(client, sent[0]) == bytes(sent[0])


def test_a_client_that_does_not_read_holds_the_server_back_and_owns_little() -> None:
    total = 30 * MEGABYTE
    sent = [0]

    def send_much(connection: socket.socket) -> None:
        connection.recv(1)
        block = bytes(100_000)
        while sent[0] < total:
            connection.sendall(block)
            sent[0] += len(block)

    with Server(send_much) as server, RelayUnderTest([server.address], splice=False) as relay:
        with relay.connect() as client:
            client.sendall(b"g")
            wait_for(lambda: relay.counters()["buffer_bytes"] > 0, 10, "the direction stalls")
            stalled = relay.counters()
            assert stalled["buffer_bytes"] <= STALL_BYTES_MAX
            assert sent[0] < total
            assert len(receive_all(client)) == total
        relay.wait_terminations({"--": 1})
        assert relay.counters()["buffer_bytes"] == 0


def test_idle_sessions_own_no_buffers_and_no_pipes() -> None:
    with Server(echo) as server, RelayUnderTest([server.address]) as relay:
        clients = [relay.connect() for _ in range(50)]
        for client in clients:
            client.sendall(b"x" * 50_000)
            assert len(receive_count(client, 50_000)) == 50_000
        counters = relay.counters()
        assert counters["sessions"] == 50
        assert counters["buffer_bytes"] == counters["pipes_used"] == 0
        for client in clients:
            client.close()
        relay.wait_terminations({"--": 50})


def test_a_bulk_transfer_does_not_starve_other_sessions() -> None:
    """Each direction has its share of a turn, then the others have theirs."""

    def endless(connection: socket.socket) -> None:
        kind = connection.recv(1)
        while kind == b"b":
            connection.sendall(bytes(1_000_000))
        connection.sendall(kind)
        echo(connection)

    with Server(endless) as server, RelayUnderTest([server.address]) as relay:
        bulk = relay.connect()
        bulk.sendall(b"b")
        drain = threading.Thread(target=receive_until_closed, args=(bulk,))
        drain.start()
        with relay.connect() as client:
            for _ in range(50):
                client.sendall(b"x")
                assert receive_count(client, 1) == b"x"
        assert relay.counters()["bytes_out"] > MEGABYTE
        bulk.shutdown(socket.SHUT_RDWR)
        drain.join(PATIENCE_SECONDS)
        bulk.close()


def receive_until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(1 << 20):
            pass


@pytest.mark.parametrize("side", ["client", "server"])
def test_keep_alive_probes_are_asked_for_on_the_side_that_has_the_option(side: str) -> None:
    with (
        Server(echo) as server,
        RelayUnderTest([server.address], **{f"{side}_keepalive": True}) as relay,
        relay.connect() as client,
    ):
        client.sendall(b"x")
        receive_count(client, 1)
        toward_client = f"{relay.address[1]:04X}", f"{client.getsockname()[1]:04X}"
        assert wait_for(lambda: kernel_timer(*toward_client), 5, "no timer but keep-alive") == (
            "02" if side == "client" else "00"
        )
        found = wait_for(lambda: kernel_timer(None, f"{server.port:04X}"), 5, "likewise")
        assert found == ("02" if side == "server" else "00")


def kernel_timer(local_port: str | None, peer_port: str) -> str | None:
    """Which timer runs on an IPv4 connection: 00 none, 02 keep-alive; None: another one, yet."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, peer, state, _, timer = line.split()[1:6]
        if local_port not in (None, local.split(":")[1]) or state != "01":
            continue
        if peer.split(":")[1] == peer_port:
            kind = timer.split(":")[0]
            return kind if kind in ("00", "02") else None
    return None


def test_ipv6_and_unix_sockets_are_served_alike(tmp_path: object) -> None:
    binds = (
        Endpoint(SocketFamily.IPV6, "::1"),
        Endpoint(SocketFamily.UNIX, f"{tmp_path}/edge.sock"),
        Endpoint(SocketFamily.ABSTRACT, f"\0{tmp_path}/edge"),
    )
    with Server(echo, "::1") as server, RelayUnderTest([server.address], binds=binds) as relay:
        for number in range(len(binds)):
            with relay.connect(bind=number) as client:
                client.sendall(b"hello")
                assert receive_count(client, 5) == b"hello"
        relay.wait_terminations({"--": 3})


def test_a_relative_port_is_added_to_the_one_the_client_came_to() -> None:
    def attempt(port: int) -> bool:
        with Server(echo, "127.0.0.9", port):
            offset = RelayServer("127.0.0.9", 7 + 65_536, port_relative=True)
            bind = Endpoint(SocketFamily.IPV4, "127.0.0.9", port - 7)
            with RelayUnderTest([offset], binds=(bind,)) as relay, relay.connect() as client:
                client.sendall(b"hello")
                return receive_count(client, 5) == b"hello"

    assert attempt(free_port())
