"""Hellos of TLS clients: those that real programs send, and some made by hand."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterable, Sequence

from tests.support.common import PATIENCE_SECONDS, require_program

HEADER_BYTES = 5  # of a record
HANDSHAKE = b"\x16\x03\x01"
GREASE = 0x0A0A  # RFC 8701
SERVER_NAME, GROUPS, SIGNATURES, PROTOCOLS, PADDING, TICKET, KEY_SHARE, ENCRYPTED_HELLO = (
    *(0, 10, 13, 16, 21, 35),
    *(51, 0xFE0D),
)
HYBRID_GROUP, HYBRID_SHARE_BYTES = 0x11EC, 1_216  # X25519MLKEM768


def of_python(
    name: str | None,
    protocols: Sequence[str] = (),
    version: ssl.TLSVersion | None = None,
    options: int = 0,
) -> bytes:
    """What Python's ssl begins with."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.options |= options
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if version is not None:
        context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def of_openssl(*arguments: str) -> bytes:
    """What `openssl s_client` sends to a real socket before anything is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        address = "{}:{}".format(*listener.getsockname())
        command = (require_program("openssl"), "s_client", "-connect", address, *arguments)
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as program:
            client, _ = listener.accept()
            with client:
                client.settimeout(PATIENCE_SECONDS)
                found = b""
                while len(found) < HEADER_BYTES or len(found) < HEADER_BYTES + _size(found):
                    part = client.recv(65_536)
                    assert part, found
                    found += part
            program.wait(PATIENCE_SECONDS)
    return found


def _size(record: bytes) -> int:
    return int.from_bytes(record[3:HEADER_BYTES], "big")


def counted(content: bytes, size: int = 2) -> bytes:
    """Behind its length, of so many bytes."""
    return len(content).to_bytes(size, "big") + content


def numbers(*each: int) -> bytes:
    """Two bytes each."""
    return b"".join(number.to_bytes(2, "big") for number in each)


def server_name(name: bytes, kind: int = 0) -> tuple[int, bytes]:
    """The extension with one name."""
    return SERVER_NAME, counted(bytes([kind]) + counted(name))


def protocols_of(*names: bytes) -> tuple[int, bytes]:
    """The extension of ALPN."""
    return PROTOCOLS, counted(b"".join(counted(name, 1) for name in names))


def key_shares(*groups: tuple[int, int]) -> tuple[int, bytes]:
    """The extension with shares: groups, and how many bytes each has."""
    return KEY_SHARE, counted(b"".join(numbers(g) + counted(bytes(size)) for g, size in groups))


def message(
    extensions: Iterable[tuple[int, bytes]],
    ciphers: bytes = b"\x13\x01",
    session: bytes = bytes(32),
    version: bytes = b"\3\3",
) -> bytes:
    """A ClientHello without a record."""
    listed = b"".join(numbers(kind) + counted(content) for kind, content in extensions)
    body = version + bytes(32) + counted(session, 1) + counted(ciphers) + counted(b"\0", 1)
    return b"\1" + counted(body + counted(listed), 3)


def in_records(whole: bytes, sizes: Iterable[int]) -> bytes:
    """A message cut into records of these sizes, the rest in one more."""
    found, at = b"", 0
    for size in sizes:
        if at + size >= len(whole):
            break
        found += HANDSHAKE + counted(whole[at : at + size])
        at += size
    return found + HANDSHAKE + counted(whole[at:])


def modern(name: bytes = b"app.example", padding: int = 0) -> bytes:
    """As browsers send it: GREASE, an encrypted hello, post-quantum shares; in one record."""
    return in_records(
        message(
            [
                (GREASE, b""),
                (ENCRYPTED_HELLO, bytes(240)),
                (GROUPS, counted(numbers(GREASE, HYBRID_GROUP, 29, 23))),
                key_shares((GREASE, 1), (HYBRID_GROUP, HYBRID_SHARE_BYTES), (29, 32)),
                server_name(name),
                protocols_of(b"h2", b"http/1.1"),
                (SIGNATURES, counted(numbers(0x0403, 0x0804))),
                (TICKET, bytes(16)),
                (GREASE, b"\0"),
                (PADDING, bytes(padding)),
            ],
            numbers(GREASE, 0x1301, 0x1302),
        ),
        [],
    )


def of_ssl2(
    ciphers: int = 9, session: int = 0, challenge: int = 16, padding: int | None = None
) -> bytes:
    """A hello of SSLv2 by the sizes of its parts; with padding its length has three bytes."""
    body = b"\1\3\1" + numbers(ciphers, session, challenge) + bytes(ciphers + session + challenge)
    if padding is None:
        return numbers(len(body) | 0x8000) + body
    return numbers(len(body)) + bytes([padding]) + body + bytes(padding)
