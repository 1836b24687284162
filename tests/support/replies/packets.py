"""Generated replies of protocols in packets: MySQL, PostgreSQL, LDAP, TLS."""

from __future__ import annotations

from random import Random

from tests.support.replies.damage import damaged, delivered, ended, lied, some_bytes, text
from tests.support.replies.deeds import Deed, Give, Take
from tests.support.replies.play import Case

MYSQL_LOGIN_BYTES = {"post-41": 46, "pre-41": 19}


def _said(chance: Random, lines: tuple[str, ...], heard: int, data: bytes) -> Case:
    """Behind the bytes that the check sends."""
    first: tuple[Deed, ...] = (Take(heard),) if heard else ()
    if heard and chance.random() < 0.03:  # ahead of them
        first = (Give(some_bytes(chance, 20)), *first)
    return Case(lines, (*first, *delivered(chance, data), *ended(chance)))


def _packet(chance: Random, body: bytes, number: int) -> bytes:
    length = lied(chance, len(body), 1 << chance.choice((8, 16, 24)))
    return length.to_bytes(3, "little") + bytes([number]) + body


def _greeting(chance: Random) -> bytes:
    version = text(chance, "8.0.36", "5.5.5-10.11.6-MariaDB", "0", "-log", "test")
    rest = b"\0" + some_bytes(chance, 30) + b"\0\xff\xf7\x08\2\0" + bytes(13)
    return _packet(chance, chance.choice((b"\x0a", b"\x0a", b"\x09")) + version + rest, 0)


def _refusal(chance: Random, number: int) -> bytes:
    code = chance.choice((1040, 1045, 1129, 0, 255, 256, 40_000, 65_535)).to_bytes(2, "little")
    said = chance.choice((b"", b"#08004", b"#28000")) + text(
        chance, "Access denied", "for", "'bob'@'localhost'", "Too many connections", "\r\n"
    )
    return _packet(chance, b"\xff" + code + said, number)


def _logged_in(chance: Random) -> bytes:
    switch = b"\xfemysql_native_password\0abcdefgh"
    return _packet(chance, chance.choice((b"\0\0\0\2\0\0\0", b"\xfe", switch, b"")), 2)


def mysql(chance: Random) -> Case:
    """Without a user."""
    data = _refusal(chance, 0) if chance.random() < 0.4 else _greeting(chance)
    others = _greeting(chance), _refusal(chance, 0)
    return _said(chance, ("option mysql-check",), 0, damaged(chance, data, others))


def mysql_login(chance: Random) -> Case:
    """With a user, who logs in as before 4.1 or as since."""
    form, heard = chance.choice(list(MYSQL_LOGIN_BYTES.items()))
    first = _refusal(chance, 0) if chance.random() < 0.15 else _greeting(chance)
    second = _refusal(chance, 2) if chance.random() < 0.4 else _logged_in(chance)
    if chance.random() < 0.1:
        second = b""
    data = damaged(chance, first + second, (_logged_in(chance), _refusal(chance, 2)))
    return _said(chance, (f"option mysql-check user bob {form}",), heard, data)


def _message(chance: Random, kind: bytes, body: bytes) -> bytes:
    length = lied(chance, len(body) + 4, 1 << chance.choice((8, 16, 32)))
    return kind + length.to_bytes(4, "big") + body


def _pgsql_error(chance: Random) -> bytes:
    severity = chance.choice((b"SFATAL\0VFATAL\0", b"SERROR\0", b"S\0", b""))
    said = text(chance, 'role "bob" does not exist', "too many clients", "starting up", "\n", "é")
    return _message(chance, b"E", severity + b"C28000\0M" + said + b"\0\0")


def _pgsql_request(chance: Random) -> bytes:
    kind = chance.choice((*range(13), chance.randrange(1 << 32))).to_bytes(4, "big")
    rest = {5: chance.randbytes(4), 10: b"SCRAM-SHA-256\0\0"}.get(kind[3], b"")
    return _message(chance, b"R", kind + rest)


def pgsql(chance: Random) -> Case:
    """Errors, requests for authentication, and what follows these."""
    data = _pgsql_error(chance) if chance.random() < 0.4 else _pgsql_request(chance)
    if chance.random() < 0.3:
        data += _message(chance, chance.choice((b"S", b"K", b"Z", b"N")), some_bytes(chance, 12))
    if chance.random() < 0.05:
        data = chance.choice((b"N", b"S", b"HTTP/1.1 400 Bad\r\n\r\n"))
    others = _pgsql_error(chance), _pgsql_request(chance)
    return _said(chance, ("option pgsql-check user bob",), 18, damaged(chance, data, others))


def _length(chance: Random, count: int) -> bytes:
    """In one byte, or in several behind their number."""
    form = chance.choices((0, 1, 2, 3, 4, 5, 127), (12, 1, 3, 1, 3, 1, 1))[0]
    if form == 0:
        return bytes([lied(chance, count, 1 << 8)])
    size = min(form, 4)
    return bytes([0x80 + form]) + lied(chance, count, 1 << 8 * size).to_bytes(size, "big")


def _tagged(chance: Random, tag: int, body: bytes) -> bytes:
    return bytes([tag]) + _length(chance, len(body)) + body


def _bound(chance: Random) -> bytes:
    code = chance.choice((0, 0, 1, 2, 49, 52, 127, 128, 255))
    result = b"\x0a\x01" + bytes([code]) if chance.random() < 0.9 else b"\x0a\x02\0" + bytes([code])
    said = (
        _tagged(chance, 4, text(chance, "no such", "object")) if chance.random() < 0.2 else b"\4\0"
    )
    operation = _tagged(chance, chance.choice((0x61, 0x61, 0x61, 0x78)), result + b"\4\0" + said)
    number = chance.choice((b"\x02\x01\x01", b"\x02\x01\x01", b"\x02\x01\x02", b"\x02\x02\0\1"))
    return _tagged(chance, chance.choice((0x30, 0x30, 0x30, 0x31)), number + operation)


def ldap(chance: Random) -> Case:
    """Responses to a bind."""
    data = damaged(chance, _bound(chance), (_bound(chance),))
    return _said(chance, ("option ldap-check",), 14, data)


def ssl_hello(chance: Random) -> Case:
    """Records: alerts, handshakes, others."""
    kind = chance.choice((0x15, 0x16, 0x16, 0x14, 0x17, 0x80))
    body = b"\2\x28" if kind == 0x15 else some_bytes(chance, 60)
    head = bytes([kind, 3, chance.choice((0, 1, 2, 3, 4))])
    record = head + lied(chance, len(body), 1 << 16).to_bytes(2, "big") + body
    return _said(chance, ("option ssl-hello-chk",), 126, damaged(chance, record, (b"HTTP/1.1",)))
