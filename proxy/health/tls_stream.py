"""TLS between a check's socket and its exchange: handshake, names, and the bytes within.

Owns the ciphertext that is under way and HAProxy's rules of names (manual 5.2: verify). Like a
socket it receives and sends without blocking, so that an exchange need not know of it; what waits
within it no descriptor tells, so its user asks `pending`. Knows neither deadline nor dialect.

One event takes at most RECEIVED_MAX bytes of the socket, and what waits to be sent is bounded too.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from proxy.health.connection import Connection
from proxy.health.dialect.seam import RECEIVED_MAX, Connect

FAILED = "SSL handshake failure"
BROKEN = "SSL fatal error"
UNSENT_MAX = 4 * RECEIVED_MAX  # ciphertext that the kernel has not taken
OTHER_NAME = "Server presented an SSL certificate different from the expected one"
OTHER_HOST = "Server presented an SSL certificate different from the configured one"


class Encryption(NamedTuple):
    """The TLS of one connection."""

    context: ssl.SSLContext
    sni: str | None = None
    verify_host: str | None = None


class ServerTls(NamedTuple):
    """The TLS of one server's checks, as `CheckTls` has it; `contexts` are by ALPN as written."""

    context: ssl.SSLContext
    by_line: bool = True
    sni: str | None = None
    verify_host: str | None = None
    contexts: Mapping[str, ssl.SSLContext] = {}

    def stream(self, connection: socket.socket | Connection, wanted: Connect) -> TlsStream | None:
        """The TLS of a connection; None where it is without."""
        as_line = wanted.header is None
        if not wanted.ssl and not (as_line and self.by_line):
            return None
        context = self.contexts[wanted.alpn] if wanted.alpn else self.context
        if not as_line and not wanted.alpn:
            context = self.contexts.get("", context)
        sni = wanted.sni or (self.sni if as_line else None)
        if connection.family != socket.AF_UNIX:
            # The handshake's last message waits for no acknowledgement, nor does what follows it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return TlsStream(connection, Encryption(context, sni, self.verify_host))


def matches(pattern: str, host: str) -> bool:
    """Whether a name of a certificate is the host's: one `*` in its first label stands for any."""
    wanted, own = pattern.encode().lower(), host.encode().lower()  # ASCII alone has two cases
    if wanted == own:
        return True
    label, dot, rest = wanted.partition(b".")
    own_label, own_dot, own_rest = own.partition(b".")
    if not dot or not own_dot or rest != own_rest or label.count(b"*") != 1:
        return False
    before, _, after = label.partition(b"*")
    long_enough = len(own_label) >= len(before) + len(after)
    return long_enough and own_label.startswith(before) and own_label.endswith(after)


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """The host names of a verified certificate: its DNS names, and its common names."""
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"]
    subject = certificate.get("subject", ())
    return names + [text for part in subject for kind, text in part if kind == "commonName"]


class TlsStream:
    """One connection's TLS; `shake` until it says that the handshake is over.

    `failure` says then, in HAProxy's words, how it failed; empty if it did not.
    """

    __slots__ = (
        "_encrypted",
        "_encryption",
        "_error",
        "_incoming",
        "_object",
        "_outgoing",
        "_over",
        "_socket",
        "_started",
        "_unsent",
        "failure",
    )

    def __init__(self, connection: socket.socket | Connection, encryption: Encryption) -> None:
        self._socket = connection
        self._encryption = encryption
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = encryption.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=encryption.sni
        )
        self._unsent = b""  # of what is encrypted
        self._encrypted = 0  # bytes of the exchange's that are not all sent
        self._over = False  # nothing comes behind the bytes that were given
        self._error: OSError | None = None  # why, where it is not the server's wish
        self._started = False
        self.failure = ""

    @property
    def events(self) -> int:
        """What `shake` waits for, as epoll has it."""
        return select.EPOLLOUT if self._unsent else select.EPOLLIN

    @property
    def pending(self) -> bool:
        """Whether `recv` has something to give that the socket does not tell of."""
        return self._over or self._incoming.pending > 0 or self._object.pending() > 0

    def shake(self) -> bool:
        """Go on with the handshake; True once it is over."""
        try:
            if self._started and not self._unsent:
                self._fill()
            self._started = True
            self._object.do_handshake()
            self.failure = self._complaint()
            if self.failure:
                return True  # the last message of the handshake is not sent
            self._flush()
        except (BlockingIOError, ssl.SSLWantReadError):
            self._flush_if_open()
            return False
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            self._flush_if_open()  # an alert
            self.failure = FAILED
        return not self._unsent or bool(self.failure)

    def _complaint(self) -> str:
        """What is wrong with the names of a verified certificate; empty for nothing."""
        context, sni, verify_host = self._encryption
        wanted = sni or verify_host
        if wanted is None or context.verify_mode is not ssl.CERT_REQUIRED:
            return ""
        certificate = self._object.getpeercert() or {}
        if any(matches(name, wanted) for name in names_of(certificate)):
            return ""
        return OTHER_NAME if sni else OTHER_HOST

    def recv(self, bytes_max: int) -> bytes:
        """Bytes of the server, empty at the stream's end; as a socket's, raises OSError."""
        if not self.pending:
            self._fill()
        given = b"" if self._over else self._read(bytes_max)
        if given:
            return given
        if self._error is not None:
            raise self._error
        if not self._over:
            raise BlockingIOError
        return b""

    def _read(self, bytes_max: int) -> bytes:
        """What the ciphertext so far holds; notes the end."""
        given = b""
        try:
            while len(given) < bytes_max:
                piece = self._object.read(bytes_max - len(given))
                given += piece
                self._over = not piece  # the server said so
                if not self.pending or self._over:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            self._over = True  # it may have said so: HAProxy does not ask for it
        except ssl.SSLError:
            given, self._over, self._error = b"", True, OSError(errno.EPROTO, BROKEN)
        self._flush_if_open()  # what the protocol answers by itself
        if len(self._unsent) > UNSENT_MAX:  # a server that asks and asks, and does not read
            given, self._over, self._error = b"", True, OSError(errno.ENOBUFS, BROKEN)
        return given

    def send(self, data: bytes, _flags: int = 0) -> int:
        """Send some of it; as a socket's, raises OSError. To be called with the same bytes again.

        The count is of bytes that the kernel has taken encrypted.
        """
        if not self._encrypted:
            try:
                self._encrypted = self._object.write(data[:RECEIVED_MAX])
            except ssl.SSLError as error:
                raise OSError(errno.EPROTO, BROKEN) from error
        self._flush()
        if self._unsent:
            raise BlockingIOError
        sent, self._encrypted = self._encrypted, 0
        return sent

    def notify(self) -> None:
        """Say that nothing more is sent; no answer is waited for."""
        with suppress(OSError):  # ssl.SSLError is one
            self._object.unwrap()
        self._flush_if_open()

    def _fill(self) -> None:
        """Take what has come; raises OSError."""
        data = self._socket.recv(RECEIVED_MAX)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        """Send what is encrypted, as much as the kernel takes; raises OSError."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        if self._unsent:
            with suppress(BlockingIOError):
                sent = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
                self._unsent = self._unsent[sent:]

    def _flush_if_open(self) -> None:
        """The same; that the connection is broken is seen by the next read."""
        with suppress(OSError):
            self._flush()
