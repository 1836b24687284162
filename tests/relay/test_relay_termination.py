"""How sessions end: each end in its one termination state (manual section 8.5), as HAProxy has it."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from proxy.config.model.settings import Timeouts
from proxy.relay.state.termination import CODES, Termination
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_all, receive_count, reset

LONG = 600_000


def timeouts(**given: int) -> Timeouts:
    """All of them long, but for those given."""
    return Timeouts(**{"client_ms": LONG, "server_ms": LONG, "connect_ms": LONG, **given})


def silent(connection: socket.socket) -> None:
    """Read what comes and say nothing, even after the end."""
    while connection.recv(65_536):
        pass
    with contextlib.suppress(OSError):
        connection.recv(1)
    wait_for_reset(connection)


def wait_for_reset(connection: socket.socket) -> None:
    """Stay until the other end is gone for good."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07":
            return
        time.sleep(0.02)


def much(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(bytes(20_000_000))


def test_every_termination_state_has_its_code() -> None:
    assert set(CODES) == set(Termination)
    assert len(set(CODES.values())) == len(Termination) <= 64


def test_a_reset_by_the_client_is_cd_and_resets_the_server() -> None:
    seen: list[str] = []

    def watch(connection: socket.socket) -> None:
        connection.sendall(connection.recv(10))
        try:
            connection.recv(10)
        except ConnectionResetError:
            seen.append("reset")

    with Server(watch) as server, RelayUnderTest([server.address]) as relay:
        client = relay.connect()
        client.sendall(b"hi")
        receive_count(client, 2)
        reset(client)
        relay.wait_terminations({"CD": 1})
        wait_for(lambda: seen == ["reset"], 5, "the server sees the reset")
        assert relay.counters("server")["client_aborts"] == 1


def test_a_reset_by_the_server_is_sd_and_what_it_sent_before_arrives() -> None:
    answer = bytes(range(256)) * 1_000

    def answer_and_reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(answer)
        wait_for(lambda: not outstanding(connection), 5, "the relay has it all")
        reset(connection)

    with Server(answer_and_reset) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            client.sendall(b"g")
            assert receive_all(client) == answer
        relay.wait_terminations({"SD": 1})
        assert relay.counters("server")["server_aborts"] == 1


def outstanding(connection: socket.socket) -> int:
    """Bytes sent and not acknowledged."""
    import fcntl
    import struct
    import termios

    queued: int = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"    "))[0]
    return queued


def test_an_answer_before_a_close_with_unread_bytes_arrives_whole() -> None:
    """The server closes over unread bytes, so its kernel resets: the answer was there before."""

    def answer_unread(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"early answer")

    with Server(answer_unread) as server, RelayUnderTest([server.address]) as relay:
        with relay.connect() as client:
            client.sendall(b"q" * 5_000)
            assert receive_all(client) == b"early answer"
        wait_for(lambda: sum(relay.terminations().values()) == 1, 5, "ended")


def test_a_client_silent_for_too_long_is_cd_in_lower_case() -> None:
    with (
        Server(echo) as server,
        RelayUnderTest([server.address], timeouts=timeouts(client_ms=150)) as relay,
    ):
        begun = time.monotonic()
        with relay.connect() as client:
            client.sendall(b"x")
            assert receive_all(client) == b"x"
        assert time.monotonic() - begun > 0.14
        relay.wait_terminations({"cD": 1})


def test_the_answer_of_a_slow_server_arrives_after_the_client_s_time_out() -> None:
    def slow(connection: socket.socket) -> None:
        assert receive_all(connection) == b"question"  # the time-out came as a FIN
        connection.sendall(b"answer")

    with (
        Server(slow) as server,
        RelayUnderTest([server.address], timeouts=timeouts(client_ms=100)) as relay,
    ):
        with relay.connect() as client:
            client.sendall(b"question")
            assert receive_all(client) == b"answer"
        relay.wait_terminations({"cD": 1})


def test_a_server_silent_for_too_long_is_sd_in_lower_case() -> None:
    with (
        Server(silent) as server,
        RelayUnderTest([server.address], timeouts=timeouts(server_ms=150)) as relay,
    ):
        with relay.connect() as client:
            client.sendall(b"x")
            assert receive_all(client) == b""
        relay.wait_terminations({"sD": 1})


def test_of_two_equal_time_outs_the_client_s_counts() -> None:
    both = timeouts(client_ms=150, server_ms=150)
    with Server(silent) as server, RelayUnderTest([server.address], timeouts=both) as relay:
        with relay.connect() as client:
            client.sendall(b"x")
            assert receive_all(client) == b""
        relay.wait_terminations({"cD": 1})


def test_activity_of_either_side_keeps_a_session_alive() -> None:
    limits = timeouts(client_ms=2_000, server_ms=2_000)  # a busy machine is away for less
    with Server(echo) as server, RelayUnderTest([server.address], timeouts=limits) as relay:
        with relay.connect() as client:
            begun = time.monotonic()
            while time.monotonic() - begun < 3:
                client.sendall(b"x")
                assert receive_count(client, 1) == b"x"
                time.sleep(0.05)
        relay.wait_terminations({"--": 1})


def test_the_tunnel_time_out_takes_the_place_of_both() -> None:
    tunnel = timeouts(client_ms=100, server_ms=100, tunnel_ms=400)
    with Server(silent) as server, RelayUnderTest([server.address], timeouts=tunnel) as relay:
        begun = time.monotonic()
        with relay.connect() as client:
            client.sendall(b"x")
            assert receive_all(client) == b""
        assert time.monotonic() - begun > 0.38
        relay.wait_terminations({"cD": 1})


def test_a_half_closed_server_has_the_server_fin_time_out() -> None:
    fin = timeouts(server_fin_ms=150)
    with Server(silent) as server, RelayUnderTest([server.address], timeouts=fin) as relay:
        with relay.connect() as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b""
        relay.wait_terminations({"sD": 1})


def test_a_half_closed_client_has_the_client_fin_time_out() -> None:
    with Server(lambda connection: None) as server:
        fin = timeouts(client_fin_ms=150)
        with RelayUnderTest([server.address], timeouts=fin) as relay, relay.connect() as client:
            assert receive_all(client) == b""
            relay.wait_terminations({"cD": 1})


def test_a_client_that_takes_nothing_is_timed_out_though_the_server_has_more() -> None:
    with (
        Server(much) as server,
        RelayUnderTest([server.address], timeouts=timeouts(client_ms=200)) as relay,
    ):
        with relay.connect() as client:
            client.sendall(b"g")
            relay.wait_terminations({"cD": 1})
        counters = relay.counters()
        assert counters["buffer_bytes"] == counters["sessions"] == 0


def test_a_stalled_client_does_not_time_its_server_out() -> None:
    with (
        Server(much) as server,
        RelayUnderTest([server.address], timeouts=timeouts(server_ms=1_500)) as relay,
    ):
        with relay.connect() as client:
            client.sendall(b"g")
            time.sleep(2)  # longer than `timeout server`, during which nothing moves
            assert len(receive_all(client)) == 20_000_000
        relay.wait_terminations({"--": 1})


@pytest.mark.slow
def test_sessions_without_any_time_out_stay() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], timeouts=Timeouts()) as relay:
        with relay.connect() as client:
            time.sleep(1.2)  # more than one turn of the loop without an event
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"
        relay.wait_terminations({"--": 1})
