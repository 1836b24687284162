"""First bytes of several protocols, and what chance makes of them."""

from __future__ import annotations

import random
import ssl
from collections.abc import Mapping, Sequence

from tests.support.content import hellos

RDP = (
    b"\x03\0\0\x2f\x2a\xe0\0\0\0\0\0Cookie: mstshash=user\r\n\1\0\x08\0\0\0\0\0",
    b"\x03\0\0\x2f\x2a\xe0\0\0\0\0\0cookie:   X=1.2.3\r\nCookie: y=2\r\n",
    b"01234567890Cookie: =\r\n",
    b"01234567890Cookie:a\r\n",
    b"01234567890Cookie: mstshash\r\n",
)
HTTP = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a?b HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /\r\n\r\n",
    b"\r\nGET http://u@a:80/b HTTP/1.1\r\nhost: A\r\nContent-Length: 1, 1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\nHost: a\nx: y\n z\n\n",
    b"G / HTTP/1.1\r\nTransfer-Encoding: x, chunked\r\nConnection: close\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
)
SSL2 = (
    hellos.of_ssl2(),
    hellos.of_ssl2(3, 16, 32),
    hellos.of_ssl2(6, 0, 20, padding=3),
    hellos.of_ssl2(300, 16, 17),
)
EARLY = (5, 12, 60, 200, 1 << 20)  # most fields stand at the beginning
USUAL = b"\0\1\3\x16\x20\x3a\x3d\x0d\x0a\xff\x09\x2c\x2f"


def hellos_of_all_kinds() -> list[bytes]:
    """Small and larger ones, of Python and made by hand."""
    old = ssl.TLSVersion.TLSv1_2
    return [
        hellos.of_python("a.b"),
        hellos.of_python("a.b", ["h2", "http/1.1"]),
        hellos.of_python(None),
        hellos.of_python("long." * 40 + "example", ["x"], old),
        hellos.of_python("x.y", version=old, options=ssl.OP_NO_TICKET),
        hellos.modern(),
        hellos.in_records(
            hellos.message([hellos.server_name(b"a"), hellos.protocols_of(b"b")]), []
        ),
    ]


def kinds() -> Mapping[str, Sequence[bytes]]:
    """Whole beginnings of connections by their protocol."""
    return {"tls": hellos_of_all_kinds(), "ssl2": SSL2, "rdp": RDP, "http": HTTP}


def mutated(chance: random.Random, content: bytes) -> bytes:
    """With some bytes changed, dropped or added, and perhaps cut; one byte at least."""
    found = bytearray(content)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at = min(chance.randrange(len(found)), chance.choice(EARLY))
        byte = chance.choice((chance.choice(USUAL), chance.randrange(256)))
        action = chance.randrange(4)
        if action == 0:
            found[at] = byte
        elif action == 1:
            found[at] = (found[at] + chance.choice((-2, -1, 1, 2))) % 256
        elif action == 2 and len(found) > 1:
            del found[at]
        else:
            found.insert(at, byte)
    if chance.random() < 0.5:
        gone = chance.choice((8, len(found)))
        del found[max(1, len(found) - chance.randrange(gone)) :]
    return bytes(found)
