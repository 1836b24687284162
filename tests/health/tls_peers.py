"""Scripted TLS servers for checks: what a server does in its handshake and behind it.

`shake` is an act of check_peers that makes a handshake and lets further acts go on within it. They
write and read plain text; what is written is sent with the next `flush`, so that a test says which
records come together.
"""

from __future__ import annotations

import io
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.health.check_peers import CHECK, Act, Case, Told, tell
from tests.support.certificates import Authority


class ServerTls:
    """The context of a server; it is made with its first connection.

    `certificate` is a name in the folder, `clients` that of the authority for clients.
    """

    folder = Path()

    def __init__(
        self,
        certificate: str,
        *,
        versions: tuple[str, str] = ("TLSv1", "TLSv1_3"),
        alpn: tuple[str, ...] = (),
        clients: str = "",
    ) -> None:
        self.certificate = certificate
        self.versions = versions
        self.alpn = alpn
        self.clients = clients
        self._names: dict[int, str | None] = {}  # by connection that is shaking hands

    @cached_property
    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.folder / f"{self.certificate}.pem")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old versions are what is tested
            made.minimum_version = ssl.TLSVersion[self.versions[0]]
            made.maximum_version = ssl.TLSVersion[self.versions[1]]
        if self.alpn:
            made.set_alpn_protocols(list(self.alpn))
        if self.clients:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(self.folder / f"{self.clients}.pem")
        made.sni_callback = self._hear  # one for all: two clients may shake hands at a time
        return made

    def _hear(self, tls: object, name: str | None, _context: ssl.SSLContext) -> None:
        self._names[id(tls)] = name

    def told_name(self, tls: ssl.SSLObject) -> list[str | None]:
        """The name that this client asked for, None where it named none; nothing without a hello."""
        return [self._names.pop(id(tls))] if id(tls) in self._names else []


class Peer:
    """A server's side of one connection."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def flush(self) -> None:
        """Send what waits; sending nothing would tell of a reset before what came ahead of it."""
        if data := self.outgoing.read():
            self.connection.sendall(data)

    def take(self, call: Callable[[], Any], *, flushing: bool = True) -> Any:
        """The result of a call that may have to read first; what it writes is sent, or waits."""
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.connection.recv(65_536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
                continue
            if flushing:
                self.flush()
            return result

    def read(self) -> bytes:
        data: bytes = self.take(lambda: self.tls.read(65_536))
        return data


TlsAct = Callable[[Peer, bytearray], None]


def shake(server: ServerTls, *acts: TlsAct, flushing: bool = True) -> Act:
    """Make the handshake, and act; what is told is what the client says of itself.

    Without `flushing` its last messages are sent with what the acts send.
    """

    def act(connection: socket.socket, received: bytearray) -> None:
        peer = Peer(connection, server.context)
        try:
            peer.take(peer.tls.do_handshake, flushing=flushing)
        except ssl.SSLError as error:
            with suppress(OSError):
                peer.flush()
            received += f"[{type(error).__name__}]".encode()
            return
        told = (peer.tls.version(), server.told_name(peer.tls), peer.tls.selected_alpn_protocol())
        received += repr((*told, bool(peer.tls.getpeercert(binary_form=True)))).encode()
        for each in acts:
            each(peer, received)

    return act


def get(peer: Peer, received: bytearray) -> None:
    """Take a request without a body."""
    start = len(received)
    while b"\r\n\r\n" not in received[start:]:
        received += peer.read()


def take(count: int) -> TlsAct:
    """Take so many bytes."""

    def act(peer: Peer, received: bytearray) -> None:
        end = len(received) + count
        while len(received) < end:
            received += peer.read()

    return act


def write(data: bytes) -> TlsAct:
    """Encrypt, but send nothing yet."""

    def act(peer: Peer, _received: bytearray) -> None:
        peer.tls.write(data)

    return act


def say(data: bytes) -> TlsAct:
    """Send this."""

    def act(peer: Peer, _received: bytearray) -> None:
        peer.tls.write(data)
        peer.flush()

    return act


def notify(peer: Peer, _received: bytearray) -> None:
    """Send what was written and close_notify with it; the connection stays open."""
    with suppress(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.flush()


def raw(data: bytes) -> TlsAct:
    """Send what was written, and these bytes behind it as they are."""

    def act(peer: Peer, _received: bytearray) -> None:
        peer.connection.sendall(peer.outgoing.read() + data)

    return act


def wait(peer: Peer, received: bytearray) -> None:
    """Do nothing more until the check ends."""
    while data := peer.connection.recv(65_536):
        assert data


def end_of(peer: Peer, received: bytearray) -> None:
    """Do nothing more, and tell how the check ends."""
    try:
        while data := peer.read():
            received += data
        received += b"[closed]" + (b"" if peer.connection.recv(1) else b"[end]")
    except ssl.SSLZeroReturnError:
        received += b"[notified]"
    except ssl.SSLEOFError:
        received += b"[cut]"
    except ConnectionResetError:
        received += b"[reset]"


def plain(act: Act) -> TlsAct:
    """An act on the socket itself."""
    return lambda peer, received: act(peer.connection, received)


REQUIRED = "verify required ca-file {folder}/ca.pem"
SHORT = "check inter 400 fall 1 rise 1 "  # of servers that never say what is expected
HTTP = "option httpchk GET /x"
KEY_SHARE = b"\0\x33"
TCP = "option tcp-check"


def client_hello(connection: socket.socket, _received: bytearray) -> None:
    """Take the client's first record, which holds a random number."""
    _first_record(connection)


def _first_record(connection: socket.socket) -> bytes:
    header = connection.recv(5, socket.MSG_WAITALL)
    return connection.recv(int.from_bytes(header[3:]), socket.MSG_WAITALL)


def tell_hello(connection: socket.socket, received: bytearray) -> None:
    """Tell what the client offers (RFC 8446, section 4.1.2), without what is random in it."""
    hello = io.BytesIO(_first_record(connection))
    version = hello.read(38)[4:6]
    parts = [hello.read(int.from_bytes(hello.read(size))) for size in (1, 2, 1, 2)]
    extensions = io.BytesIO(parts[3])
    told = [version.hex(), parts[1].hex(), parts[2].hex()]
    while kind := extensions.read(2):
        content = extensions.read(int.from_bytes(extensions.read(2)))
        told.append(f"{kind.hex()}:{len(content) if kind == KEY_SHARE else content.hex()}")
    received += " ".join(told).encode()


def line(words: str, *acts: Act, start: str = CHECK, rules: tuple[str, ...] = ()) -> Case:
    """A check that only connects resets the connection: not all that it sent may be read."""
    return Case(rules, acts, f"{start} check-ssl {words}", heard=bool(rules))


def plain_server(words: str, *acts: Act, start: str = CHECK, rules: tuple[str, ...] = ()) -> Case:
    """A server that hears the beginning of a handshake, and has another idea."""
    return line(f"verify none {words}", client_hello, *acts, start=start, rules=rules)


def make_certificates(folder: Path) -> None:
    """All that cases name, in the folder; lines have it as `{folder}`."""
    made = Authority(folder)
    made.issue("good", "good", "DNS:www.good.test", "DNS:*.wild.test", "IP:127.0.0.1")
    made.issue("partly", "*.cn.test", "DNS:f*.part.test", "DNS:10.0.0.1")
    made.issue("bare", "bare.test")
    made.issue("client", "client")
    made.issue("expired", "expired.test", "DNS:expired.test", days=-1)
    made.issue("gone", "gone")
    made.self_signed("alone", "alone.test")
    made.revoke("none")
    made.revoke("one", "gone")
    stranger = Authority(folder / "stranger")
    Path(stranger.issue("unknown", "client")).rename(folder / "unknown.pem")


def tell_tls(folder: Path, cases: dict[str, Case]) -> dict[str, dict[str, Told]]:
    """What both programs make of the cases."""
    certificates = folder / "certificates"
    make_certificates(certificates)
    ServerTls.folder = certificates
    placed = {
        name: case._replace(server=case.server.replace("{folder}", str(certificates)))
        for name, case in cases.items()
    }
    return {program: tell(program, folder, placed) for program in ("haproxy", "millrace")}
