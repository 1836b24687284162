"""Stand-ins for the servers of deploy/examples: each speaks as much of its protocol as a check asks.

`well` says how each answers: as a good server, or as one that is ill but still there.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.servers import Server

Handler = Callable[["StandIn", socket.socket], None]
BIND_DONE = bytes.fromhex("300c02010161070a0100") + b"\x04\x00\x04\x00"
BIND_UNAVAILABLE = bytes.fromhex("300c02010161070a0134") + b"\x04\x00\x04\x00"
MYSQL_GREETING = b"\n8.0.36\0" + bytes(4) + b"saltsalt\0" + bytes(2) + b"!" + bytes(16) + b"x" * 13


class StandIn(Server):
    """One server that is well, or not."""

    def __init__(self, address: str, port: int, handler: Handler) -> None:
        self.well = True
        super().__init__(lambda connection: handler(self, connection), address, port)


def http(good: bytes, bad: bytes) -> Handler:
    """`good` and `bad` are what follows `HTTP/1.1 ` of the status line, and a body behind a line."""

    def serve(server: StandIn, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(4096)
            if not more:
                return
            request += more
        status, _, body = (good if server.well else bad).partition(b"\n")
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + length + body)

    return serve


@functools.cache
def _tls() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        made.load_cert_chain(Authority(Path(folder)).self_signed("server", "server.test"))
    return made


def over_tls(handler: Handler) -> Handler:
    """The same behind a handshake, with a certificate that only itself vouches for."""

    def serve(server: StandIn, connection: socket.socket) -> None:
        with _tls().wrap_socket(connection, server_side=True) as stream:
            handler(server, stream)

    return serve


def lines(answers: dict[bytes, tuple[bytes, bytes]], greeting: tuple[bytes, bytes]) -> Handler:
    """A protocol of lines: what is said first, and to a line that begins so; the second when ill.

    A PROXY header before all is passed over.
    """

    def serve(server: StandIn, connection: socket.socket) -> None:
        ill = not server.well
        connection.sendall(greeting[ill])
        with contextlib.closing(connection.makefile("rb")) as stream:
            for line in stream:
                for begin, said in answers.items():
                    if line.startswith(begin):
                        connection.sendall(said[ill])

    return serve


def at_once(good: bytes, bad: bytes, *, first: bool = False) -> Handler:
    """An answer to the first bytes, or before them."""

    def serve(server: StandIn, connection: socket.socket) -> None:
        said = good if server.well else bad
        if first:
            connection.sendall(said)
        if connection.recv(4096) and not first:
            connection.sendall(said)
        while connection.recv(4096):
            pass

    return serve


def packet(body: bytes, number: int) -> bytes:
    """A packet of MySQL's protocol."""
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def mysql(server: StandIn, connection: socket.socket) -> None:
    if not server.well:
        connection.sendall(packet(b"\xff\x10\x04Too many connections", 0))
        return
    connection.sendall(packet(MYSQL_GREETING, 0))
    if connection.recv(4096):
        connection.sendall(packet(b"\0\0\0\2\0\0\0", 2))


REDIS = lines(
    {
        b"PING": (b"+PONG\r\n", b"+PONG\r\n"),
        b"info": (b"$13\r\nrole:master\r\n\r\n", b"$12\r\nrole:slave\r\n\r\n"),
        b"QUIT": (b"+OK\r\n", b"+OK\r\n"),
    },
    (b"", b""),
)
SENTINEL = lines({b"PING": (b"+PONG\r\n", b"-LOADING\r\n")}, (b"", b""))
SMTP = lines(
    {b"EHLO": (b"250 mx\r\n", b"250 mx\r\n"), b"QUIT": (b"221 bye\r\n", b"221 bye\r\n")},
    (b"220 mx ESMTP\r\n", b"421 too busy\r\n"),
)
IMAP = lines(
    {b"a LOGOUT": (b"* BYE\r\na OK\r\n", b"* BYE\r\na OK\r\n")},
    (b"* OK ready\r\n", b"* BYE not now\r\n"),
)
LDAP = at_once(BIND_DONE, BIND_UNAVAILABLE)
MQTT = at_once(bytes.fromhex("20020000"), bytes.fromhex("20020003"))
