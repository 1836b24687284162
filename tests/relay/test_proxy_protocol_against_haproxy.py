"""HAProxy as the oracle of the PROXY protocol: the same headers in, the same bytes to the server.

Both run the same file, each in front of a server that keeps what it gets. Where HAProxy 2.6 is
laxer or stricter than the specification, the difference is listed here, with its own fate.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.program.program import Program
from tests.support.relay.proxy_header import (
    INET6,
    LOCAL,
    READ,
    REFUSED,
    UNSPECIFIED,
    binary,
    inet6_body,
)
from tests.support.servers import Recorder, Server, receive_all

pytestmark = pytest.mark.slow

SENDERS = (
    *("", "send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"),
    *("send-proxy-v2-ssl", "send-proxy-v2 proxy-v2-options cert-key,crc32c,ssl-cipher"),
    "send-proxy-v2-ssl-cn proxy-v2-options unique-id no-send-proxy-v2-ssl",
)
HOSTS = ("127.0.0.1", "::1")
ANY_HOST = ("127.0.0.1", "::1", "127.9.8.7")
DIRECT = len(SENDERS)  # without accept-proxy, on an address of both families
DATA = b"first bytes"
FORWARDED, RESET = "forwarded", "reset"
# What HAProxy reads as an address or a port that the text does not say.
LAX = {
    *("empty port", "port 65536", "long port", "port with a leading zero"),
    *("octet 256", "three octets", "word of 46 bytes"),
}
# What a receiver has to accept, or may, and HAProxy refuses.
STRICT = {"unknown with words", "unknown of 107 bytes", "unspecified", "unix"}
MAPPED = binary(INET6, inet6_body("::ffff:192.0.2.1", "::ffff:198.51.100.2", 1_234, 443))
PASSED_ON = {
    **{name: header for name, (header, _, _) in READ.items() if name not in STRICT},
    "mapped addresses": MAPPED,
    "mapped client": binary(INET6, inet6_body("::ffff:192.0.2.1", "2001:db8::2", 1_234, 443)),
    "mapped line": b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1234 443\r\n",
    "upper case": b"PROXY TCP6 2001:DB8:0::1 2001:db8::0:2 1234 443\r\n",
    "version 2, local": binary(UNSPECIFIED, b"", LOCAL),
}


FROM_CLIENT = """\
global
 nbthread 1
 stats socket {socket} level admin
defaults
 mode tcp
 timeout client 600s
 timeout server 600s
 timeout connect 2s
listen l
 source 0.0.0.0 usesrc clientip
"""


class Side:
    """One of the two programs, with its server and its addresses."""

    def __init__(self) -> None:
        self.server = Recorder()
        self.ports = {
            (host, sender): free_port() for host in HOSTS for sender in range(len(SENDERS))
        }
        self.ports |= dict.fromkeys([(host, DIRECT) for host in ANY_HOST], free_port())

    def configuration(self) -> str:
        lines = ["global", " nbthread 1", " stats socket {socket} level admin", "defaults"]
        lines += [
            " mode tcp",
            " timeout client 600s",
            " timeout server 600s",
            " timeout connect 2s",
        ]
        for number, sender in enumerate(SENDERS):
            lines.append(f"listen l{number}")
            for host in HOSTS:
                port = self.ports[host, number]
                lines.append(
                    f" bind [{host}]:{port} accept-proxy".replace("[127.0.0.1]", "127.0.0.1")
                )
            lines.append(f" server s 127.0.0.1:{self.server.port} {sender}")
        lines += ["listen direct", f" bind :::{self.ports['::1', DIRECT]} v4v6"]
        lines += [f" server s 127.0.0.1:{self.server.port} send-proxy"]
        return "\n".join(lines) + "\n"

    def send(self, data: bytes, host: str = "127.0.0.1", sender: int = 0) -> tuple[str, bytes]:
        """What became of a connection, and what of it came to the server, its ports aside."""
        port = self.ports[host, sender]
        with socket.create_connection((host, port), PATIENCE_SECONDS) as client:
            own = client.getsockname()[1]
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b""
            except OSError as error:  # a reset may show at any of the calls
                if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                    raise
                return RESET, b""
        wait_for(lambda: self.server.received, 10, "the server has everything")
        received = self.server.received.pop()
        for number, name in ((own, "OWN"), (port, "PORT")):
            received = received.replace(b" %d" % number, b" %b" % name.encode())
            received = received.replace(number.to_bytes(2, "big"), name.encode())
        return FORWARDED, received


@contextmanager
def haproxy(text: str, port: int, folder: Path) -> Iterator[None]:
    """It runs, and listens on this port of 127.0.0.1."""
    file = folder / "haproxy.cfg"
    file.write_text(text.replace(" stats socket {socket} level admin\n", ""))
    process = subprocess.Popen(
        [require_program("haproxy"), "-db", "-f", str(file)], stderr=subprocess.DEVNULL
    )
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    try:
        wait_for(lambda: wanted in Path("/proc/net/tcp").read_text(), 10, "HAProxy listens")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """HAProxy's side, and ours."""
    theirs, ours = Side(), Side()
    with ExitStack() as stack:
        stack.enter_context(theirs.server)
        stack.enter_context(ours.server)
        port = theirs.ports["127.0.0.1", 0]
        stack.enter_context(
            haproxy(theirs.configuration(), port, tmp_path_factory.mktemp("haproxy"))
        )
        stack.enter_context(Program(tmp_path_factory.mktemp("millrace"), ours.configuration()))
        yield theirs, ours


def plain(received: bytes) -> bytes:
    """Without a checksum of what names the side's own ports."""
    return re.sub(rb"(OWNPORT\x03\x00\x04)....", rb"\1SUM", received, flags=re.DOTALL)


@pytest.mark.parametrize("sender", range(len(SENDERS)))
@pytest.mark.parametrize("host", HOSTS)
def test_a_server_gets_the_same_bytes(both: tuple[Side, Side], host: str, sender: int) -> None:
    for name, header in PASSED_ON.items():
        theirs, ours = (side.send(header + DATA, host, sender) for side in both)
        assert theirs[0] == FORWARDED, name
        assert theirs[1].endswith(DATA), name
        assert (ours[0], plain(ours[1])) == (theirs[0], plain(theirs[1])), name


@pytest.mark.parametrize("host", ANY_HOST)
def test_clients_of_an_address_of_both_families_have_the_same_names(
    both: tuple[Side, Side], host: str
) -> None:
    theirs, ours = (side.send(DATA, host, DIRECT) for side in both)
    assert ours == theirs
    assert theirs[1].startswith(b"PROXY TCP6 ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_header_has_the_same_fate(both: tuple[Side, Side], name: str) -> None:
    theirs, ours = (side.send(REFUSED[name] + DATA) for side in both)
    assert ours == (RESET, b"")
    assert theirs == ((FORWARDED, DATA) if name in LAX else (RESET, b""))


@pytest.mark.parametrize("name", sorted(STRICT))
def test_what_the_specification_has_us_accept_is_accepted(
    both: tuple[Side, Side], name: str
) -> None:
    theirs, ours = (side.send(READ[name][0] + DATA) for side in both)
    assert ours == (FORWARDED, DATA)
    assert theirs == (RESET, b"")


def test_a_header_in_two_pieces_is_waited_for(both: tuple[Side, Side]) -> None:
    """HAProxy refuses one that is not whole in its first receive."""
    header = READ["line"][0]
    side = both[1]
    with socket.create_connection(
        ("127.0.0.1", side.ports["127.0.0.1", 0]), PATIENCE_SECONDS
    ) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header:
            client.sendall(bytes([byte]))
        client.sendall(DATA)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
    wait_for(lambda: side.server.received, 10, "the server has everything")
    assert side.server.received.pop() == DATA


@pytest.mark.skipif(os.geteuid() != 0, reason="to come from a client's address takes root")
def test_connections_come_from_the_client_that_the_header_names(tmp_path: Path) -> None:
    def tell_peer(connection: socket.socket) -> None:
        connection.sendall(connection.getpeername()[0].encode())

    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            client.sendall(b"PROXY TCP4 127.5.6.7 198.51.100.2 1234 443\r\n")
            return receive_all(client)

    ports = free_port(), free_port()
    with Server(tell_peer) as server:
        theirs, ours = (
            f"{FROM_CLIENT} bind 127.0.0.1:{port} accept-proxy\n server s 127.0.0.1:{server.port}\n"
            for port in ports
        )
        with haproxy(theirs, ports[0], tmp_path), Program(tmp_path, ours):
            assert [ask(port) for port in ports] == [b"127.5.6.7"] * 2
