"""The PROXY protocol in a running relay: headers that come in pieces, are refused, are passed on."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.model.settings import Balance, Endpoint, ProxyHeader, SocketFamily, Timeouts
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.faults import Action, Kind, Shim
from tests.support.relay.proxy_header import (
    HEADER_BYTES_MAX,
    INET,
    INET6,
    LOCAL,
    UNSPECIFIED,
    binary,
    extension,
    inet6_body,
    inet_body,
)
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import (
    Recorder,
    Server,
    echo,
    named,
    receive_all,
    receive_count,
    silent_port,
)

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
BINARY = binary(INET, inet_body("192.0.2.1", "198.51.100.2", 1_234, 443))
V1, V2, V2_CHECKSUM = ProxyHeader.V1, ProxyHeader.V2, ProxyHeader.V2_CHECKSUM


@contextmanager
def recorded(
    header: ProxyHeader = ProxyHeader.NONE, **fields: object
) -> Iterator[tuple[RelayUnderTest, Recorder]]:
    with Recorder() as server:
        place = RelayServer(*server.address, proxy_header=header)
        with RelayUnderTest([place], **fields) as relay:
            yield relay, server


def say(client: socket.socket, data: bytes) -> None:
    """Send all of it, and its end; wait for the other's."""
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b""


def say_when_connected(client: socket.socket, data: bytes, server: Recorder) -> bytes:
    """The same, but its end after a server was reached: what came without it would be an abort."""
    accepted = server.accepted
    client.sendall(data)
    wait_for(lambda: server.accepted > accepted, 10, "a server is connected", step=0.0005)
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b""
    return one_received(server)


def one_received(server: Recorder) -> bytes:
    wait_for(lambda: server.received, 10, "the server has everything")
    return server.received.pop()


@pytest.mark.parametrize(
    "header", [LINE, BINARY, b"PROXY UNKNOWN\r\n", binary(UNSPECIFIED, b"", LOCAL)]
)
def test_a_header_is_taken_off_and_what_follows_it_arrives(header: bytes) -> None:
    with recorded(accept_proxy=True) as (relay, server), relay.connect() as client:
        say(client, header + b"first bytes")
        assert one_received(server) == b"first bytes"
        relay.wait_terminations({"--": 1})
        frontend = relay.counters("frontend")
        assert frontend["connections_total"] == frontend["sessions_total"] == 1
        assert frontend["bytes_in"] == 11


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_a_header_may_come_byte_by_byte(header: bytes) -> None:
    with recorded(accept_proxy=True) as (relay, server), relay.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(len(header)):
            turns = relay.counters()["epoll_turns"]
            client.sendall(header[number : number + 1])
            wait_for(lambda turns=turns: relay.counters()["epoll_turns"] > turns, 5, "read", 0)
        assert server.accepted <= 1
        say(client, b"first bytes")
        assert one_received(server) == b"first bytes"
        relay.wait_terminations({"--": 1})
        assert relay.counters()["buffer_bytes"] == 0


def test_no_server_is_sought_before_the_header_is_whole() -> None:
    with recorded(accept_proxy=True) as (relay, server), relay.connect() as client:
        client.sendall(LINE[:-1])
        wait_for(lambda: relay.counters()["buffer_bytes"] == len(LINE) - 1, 5, "kept")
        assert server.accepted == relay.counters("backend")["sessions"] == 0
        client.sendall(LINE[-1:])
        wait_for(lambda: server.accepted, 5, "a server that may speak first is connected")
        assert relay.counters("backend")["sessions"] == 1
        assert relay.counters()["buffer_bytes"] == 0


def test_a_header_as_long_as_may_be_and_much_behind_it() -> None:
    body = inet_body("192.0.2.1", "198.51.100.2", 1_234, 443)
    header = binary(INET, body + extension(4, bytes(HEADER_BYTES_MAX - 31)))
    data = bytes(range(256)) * 8_192
    with Server(echo) as server:
        place = RelayServer(*server.address, proxy_header=V2)
        with RelayUnderTest([place], accept_proxy=True) as relay, relay.connect() as client:
            client.setblocking(True)
            client.settimeout(PATIENCE_SECONDS)
            client.sendall(header + data[:500_000])
            expected = BINARY + data
            received = receive_count(client, len(BINARY) + 500_000)
            client.sendall(data[500_000:])
            received += receive_count(client, len(data) - 500_000)
            assert received == expected


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", LINE.replace(b"443", b"65536"), b"X"])
def test_what_is_no_header_ends_the_connection_at_once(sent: bytes) -> None:
    with recorded(accept_proxy=True) as (relay, server), relay.connect() as client:
        client.sendall(sent)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        relay.wait_terminations({"PR": 1})
        wait_for(lambda: relay.counters()["sessions"] == 0, 5, "the session is over")
        frontend, backend = relay.counters("frontend"), relay.counters("backend")
        assert (frontend["connections_total"], frontend["sessions_total"]) == (1, 0)
        assert backend["sessions_total"] == backend["sessions"] == server.accepted == 0


@pytest.mark.parametrize("sent", [b"", LINE[:20]])
def test_a_client_that_leaves_before_its_header_is_whole(sent: bytes) -> None:
    with recorded(accept_proxy=True) as (relay, _), relay.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        if sent:
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        else:
            assert client.recv(100) == b""
        relay.wait_terminations({"CR": 1})
        assert relay.counters()["buffer_bytes"] == 0


@pytest.mark.parametrize("sent", [b"", LINE[:20]])
def test_the_header_has_as_long_as_timeout_client_says_from_accept_on(sent: bytes) -> None:
    timeouts = Timeouts(client_ms=300, server_ms=10_000, connect_ms=2_000)
    with recorded(accept_proxy=True, timeouts=timeouts) as (relay, server):
        began = time.monotonic()
        with relay.connect() as client:
            client.sendall(sent)
            assert client.recv(100) == b""
        assert time.monotonic() - began > 0.29
        relay.wait_terminations({"cR": 1})
        assert server.accepted == relay.counters()["buffer_bytes"] == 0


@pytest.mark.parametrize(("kind", "expected"), [(V1, LINE), (V2, BINARY)])
@pytest.mark.parametrize("pause", [False, True])
def test_a_header_is_passed_on_before_the_first_bytes(
    kind: ProxyHeader, expected: bytes, pause: bool
) -> None:
    with recorded(kind, accept_proxy=True) as (relay, server), relay.connect() as client:
        client.sendall(LINE)
        if pause:
            wait_for(lambda: server.accepted, 5, "connected without first bytes")
        say(client, b"first bytes")
        assert one_received(server) == expected + b"first bytes"
        assert relay.counters("server")["bytes_in"] == 11


def test_a_server_that_speaks_first_has_its_header_without_waiting() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(receive_count(connection, len(BINARY)) + b"welcome")

    with Server(greet) as server:
        place = RelayServer(*server.address, proxy_header=V2)
        with RelayUnderTest([place], accept_proxy=True) as relay, relay.connect() as client:
            client.sendall(LINE)
            assert receive_all(client) == BINARY + b"welcome"


def name_of(client: socket.socket, relay: RelayUnderTest, bind: int = 0) -> bytes:
    own, came_to = client.getsockname(), relay.addresses[bind]
    family = "TCP6" if ":" in own[0] else "TCP4"
    return f"PROXY {family} {own[0]} {client.getpeername()[0]} {own[1]} {came_to[1]}\r\n".encode()


BINDS = (
    Endpoint(SocketFamily.IPV4, "127.0.0.1"),
    Endpoint(SocketFamily.IPV4, "0.0.0.0"),
    Endpoint(SocketFamily.IPV6, "::1"),
    Endpoint(SocketFamily.IPV6, "::"),
)


def test_without_a_header_of_its_own_a_client_has_its_real_addresses(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    binds = (*BINDS, Endpoint(SocketFamily.UNIX, path))
    with recorded(V1, binds=binds) as (relay, server):
        for bind, host in enumerate(("127.0.0.1", "127.8.9.10", "::1", "::1")):
            target = (host, relay.addresses[bind][1])
            with socket.create_connection(target, PATIENCE_SECONDS) as client:
                expected = name_of(client, relay, bind)
                say(client, b"data")
            assert one_received(server) == expected + b"data"
        with socket.create_connection(
            ("127.7.7.7", relay.addresses[3][1]), PATIENCE_SECONDS
        ) as client:
            own = client.getsockname()  # an IPv4 client of an IPv6 socket: both are mapped
            say(client, b"data")
        mapped = f"PROXY TCP6 ::ffff:{own[0]} ::ffff:127.7.7.7 {own[1]} {relay.addresses[3][1]}\r\n"
        assert one_received(server) == mapped.encode() + b"data"
        with relay.connect(bind=4) as client:
            say(client, b"data")
        assert one_received(server) == b"PROXY UNKNOWN\r\ndata"


@pytest.mark.parametrize("kind", [V2, V2_CHECKSUM])
def test_unknown_and_local_keep_the_real_addresses(kind: ProxyHeader) -> None:
    checksum = 7 if kind is V2_CHECKSUM else 0
    with recorded(kind, accept_proxy=True) as (relay, server):
        for header in (b"PROXY UNKNOWN\r\n", binary(UNSPECIFIED, b"", LOCAL)):
            with relay.connect() as client:
                own = client.getsockname()
                body = inet_body(own[0], "127.0.0.1", own[1], relay.address[1])
                say(client, header + b"data")
            received = one_received(server)
            assert received[16:28] == body
            assert len(received) == 28 + checksum + 4


def test_balance_source_goes_by_the_client_that_the_header_names() -> None:
    def ask(relay: RelayUnderTest, header: bytes) -> bytes:
        with relay.connect() as client:
            client.sendall(header)
            return receive_all(client)

    with Server(named("0")) as first, Server(named("1")) as second:
        places = [first.address, second.address]
        with RelayUnderTest(places, balance=Balance.SOURCE, accept_proxy=True) as relay:
            for _ in range(3):
                for number in range(4):  # the address modulo two servers
                    body = inet_body(f"192.0.2.{number}", "198.51.100.2", 9, 9)
                    assert ask(relay, binary(INET, body)) == str(number % 2).encode()
            body = inet6_body("2001:db8::1", "2001:db8::2", 9, 9)
            chosen = {ask(relay, binary(INET6, body)) for _ in range(3)}
            assert len(chosen) == 1


def test_a_port_relative_to_the_client_s_is_relative_to_the_header_s() -> None:
    with Recorder() as server:
        place = RelayServer("127.0.0.1", server.port - 10_000, port_relative=True)
        with RelayUnderTest([place], accept_proxy=True) as relay, relay.connect() as client:
            say(client, LINE.replace(b"443", b"10000") + b"data")
            assert one_received(server) == b"data"


@pytest.mark.parametrize("early", [b"", b"first bytes"])
def test_a_retry_elsewhere_begins_with_the_header_that_this_server_wants(early: bytes) -> None:
    with Recorder() as server, silent_port() as refusing:
        places = [
            RelayServer("127.0.0.1", refusing, proxy_header=V1),
            RelayServer(*server.address, proxy_header=V2),
        ]
        fields = {"redispatch": 1, "accept_proxy": True}
        with RelayUnderTest(places, **fields) as relay, relay.connect() as client:
            assert say_when_connected(client, LINE + early, server) == BINARY + early
            assert relay.counters("backend")["redispatches"] == 1


def test_one_who_waited_for_a_place_begins_with_a_header_too() -> None:
    with Recorder() as server:
        place = RelayServer(*server.address, maxconn=1, proxy_header=V1)
        with RelayUnderTest([place], accept_proxy=True) as relay:
            with relay.connect() as first, relay.connect() as second:
                first.sendall(LINE)
                wait_for(lambda: server.accepted, 5, "the first has the place")
                second.sendall(LINE + b"early")
                wait_for(lambda: relay.counters("backend")["queued"] == 1, 5, "queued")
                first.close()
                say(second, b" and late")
            wait_for(lambda: len(server.received) == 2, 5, "both have ended")
            assert sorted(server.received) == [LINE, LINE + b"early and late"]


@pytest.mark.slow
@pytest.mark.parametrize("early", [b"", b"first bytes"])
def test_a_header_cut_short_anywhere_arrives_whole(tmp_path: Path, early: bytes) -> None:
    shim = Shim(tmp_path)
    with recorded(V2, accept_proxy=True, environment=shim.environ) as (relay, server):
        for length in range(1, len(BINARY) + len(early)):
            shim.arm(Kind.SEND, 1, Action.SHORT_EDGE, length=length)
            with relay.connect() as client:
                received = say_when_connected(client, LINE + early, server)
            assert received == BINARY + early, f"cut after {length} bytes"
            assert shim.disarm(), "the fault happened"
        for error in (errno.EAGAIN, errno.EINTR):
            for number in (1, 2):
                shim.arm(Kind.SEND, number, Action.ERROR_EDGE, error)
                with relay.connect() as client:
                    received = say_when_connected(client, LINE + early, server)
                assert received == BINARY + early
                shim.disarm()
    shim.close()


@pytest.mark.slow
def test_addresses_are_given_back(tmp_path: Path) -> None:
    """Ten thousand sessions, half of them refused, need no more memory than the first hundreds."""

    def resident() -> int:
        return int(Path(f"/proc/{relay.pid()}/statm").read_text().split()[1])

    def sessions(count: int) -> None:
        for number in range(count):
            with relay.connect() as client:
                if number % 2:
                    say(client, LINE)
                else:
                    client.sendall(b"no header")

    with recorded(V2, accept_proxy=True) as (relay, server):
        sessions(300)
        before = resident()
        sessions(4_000)
        wait_for(lambda: relay.counters()["sessions"] == 0, 10, "all have ended")
        assert relay.counters()["buffer_bytes"] == 0
        assert resident() - before < 64, "pages"
        server.received.clear()
