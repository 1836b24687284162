"""Replies that Millrace once judged otherwise than HAProxy, each as small as it can be."""

from __future__ import annotations

from tests.support.replies.deeds import Deed, End, Give, Take
from tests.support.replies.play import Case

ENDS: tuple[Deed, ...] = (End.PAUSE, End.SHUT)
OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"X-State: up\r\nContent-Length: 3\r\n\r\nfoo"
INTERIM = b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n"
BARE_INTERIM = b"HTTP/1.1 100 C\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FULL_CHUNK = CHUNKED + b"3f7a\r\n" + b"x" * 0x3F7A + b"\r\nzz\r\n"
AGENT = "weight 40 maxconn 50 agent-check agent-port PORT agent-inter 1h"


def _redis(data: bytes) -> Case:
    return Case(("option redis-check",), (Take(14), Give(data), *ENDS))


def _tcp(rule: str, data: bytes) -> Case:
    return Case(("option tcp-check", f"tcp-check expect {rule}"), (Give(data), End.HOLD))


def _http(rule: str, data: bytes, *deeds: Deed) -> Case:
    lines = "option httpchk", f"http-check expect {rule}"
    return Case(lines, (Take(None), Give(data), *(deeds or ENDS)))


def _ldap(data: str) -> Case:
    return Case(("option ldap-check",), (Take(14), Give(bytes.fromhex(data)), *ENDS))


def _agent(data: bytes, *deeds: Deed) -> Case:
    return Case((), (Give(data), *(deeds or ENDS)), AGENT)


def _head(size: int) -> bytes:
    """A whole head of so many bytes."""
    return OK + b"A: " + b"x" * (size - len(OK) - len(b"A: \r\n\r\n")) + b"\r\n\r\n"


def _fields(size: int) -> bytes:
    """A whole head with as many fields as may be, of so many bytes without what separates them."""
    names = b"".join(b"A: b\r\n" for _ in range(99))
    return OK + names + b"A: " + b"x" * (size - 2 * 99 - 1) + b"\r\n\r\n"


FOUND: dict[str, Case] = {
    "text that is not UTF-8": _redis(b"-caf\xe9 \xc3\xa9\xff\r\n"),
    "mail that is not UTF-8": Case(("option smtpchk",), (Give(b"554 caf\xe9\r\n"), *ENDS)),
    "reason that is not UTF-8": _http("status 200", b"HTTP/1.1 500 caf\xe9\r\n\r\n"),
    "description of an agent that is not UTF-8": _agent(b"down #caf\xe9\n"),
    "text cut within a character": _redis(b"-" + b"x" * 125 + b"\xc3\xa9\r\n"),
    "binary pattern with a NUL": Case(
        ("option tcp-check", "tcp-check expect binary 6100ff"), (End.HOLD,)
    ),
    "binary pattern that is not UTF-8": Case(
        ("option tcp-check", "tcp-check expect binary 61ff00"), (End.HOLD,)
    ),
    "end of a binary pattern in half a buffer": _tcp("rbinary 71$", b"z" * 8_190 + b"q"),
    "binary pattern beyond half a buffer": _tcp("rbinary 71", b"z" * 8_191 + b"q"),
    "regular expression at the end of a buffer": _tcp("rstring q", b"z" * 16_382 + b"q"),
    "regular expression beyond a buffer": _tcp("rstring q", b"z" * 16_383 + b"q"),
    "what follows a full buffer belongs to the next step": Case(
        ("option tcp-check", *("tcp-check expect ! string b", "tcp-check send q") * 2),
        (Give(b"a" * 100), End.PAUSE, Give(b"a" * 16_284 + b"b"), Take(1), End.PAUSE, End.SHUT),
    ),
    "server without weight": Case(("option tcp-check",), (End.HOLD,), "check weight 0"),
    "status as it was written": _http("rstatus ^2", b"HTTP/1.1 0200 OK\r\n\r\n"),
    "status beyond its field": _http("rstatus ^2", b"HTTP/1.1 65736 OK\r\n\r\n"),
    "field of the second response": _http("hdr name x-state", INTERIM + WHOLE),
    "field of the first response": _http("hdr name a", INTERIM + WHOLE),
    "many responses": _http("string foo", BARE_INTERIM * 330 + WHOLE),
    "too many responses": _http("string foo", BARE_INTERIM * 333 + WHOLE),
    "endless responses": _http("string foo", BARE_INTERIM * 3_000),
    "head that has room": _http("status 404", _head(16_298)),
    "head that has no room": _http("status 404", _head(16_302)),
    "part of a head that may be whole": _http("status 404", _head(16_402)[:16_319], End.HOLD),
    "part of a head that is too long": _http("status 404", _head(16_402)[:16_320], End.HOLD),
    "head of many fields that has room": _http("status 404", _fields(15_486)),
    "head of many fields that has no room": _http("status 404", _fields(15_487)),
    "head of spaces that has room": _http(
        *("status 404", b"HTTP/1.1 200" + b" " * 90, End.PAUSE),
        *(Give(b" " * 16_212 + b"OK\r\n\r\n"), End.HOLD),
    ),
    "head of spaces in pieces that is too long": _http(
        *("status 404", b"HTTP/1.1 200" + b" " * 90, End.PAUSE),
        *(Give(b" " * 16_213 + b"OK\r\n\r\n"), End.HOLD),
    ),
    "head of spaces that is too long": _http(
        "status 404", b"HTTP/1.1 200" + b" " * 16_400 + b"OK\r\n\r\n", End.HOLD
    ),
    "part of a head of another protocol": _http("status 404", b".0 200 OK\r\nA: b", End.HOLD),
    "head of another protocol": _http("status 404", b".0 200 OK\r\nA: b\r\n\r\n", End.HOLD),
    "part that begins no head": _http("status 404", b"/1.1 200", End.HOLD),
    "carriage return behind a version": _http("status 404", b"HTTP/1.1\r", End.HOLD),
    "carriage return behind a field's name": _http("status 404", OK + b"A: b\r\nor\r", End.HOLD),
    "carriage return behind a field": _http("status 404", OK + b"A: b\r\nor: \r", End.HOLD),
    "carriage return in front": _http("status 404", b"\n\r", End.HOLD),
    "garbage beyond the room for a body": _http("string foo", FULL_CHUNK, End.HOLD),
    "garbage beyond what is read at once": _http(
        "status 404", CHUNKED + b"1\r\na\r\n" * 2_714 + b"zz\r\n", End.HOLD
    ),
    "chunk with a long extension": _http(
        *("string foo", CHUNKED + b"3;" + b" " * 5_000, End.PAUSE),
        *(Give(b"\r\nfoo\r\n0\r\n\r\n"), End.HOLD),
    ),
    "chunk with an extension that is too long": _http(
        *("string foo", CHUNKED + b"3;", End.PAUSE),
        *(Give(b" " * 16_318 + b"\r\nfoo\r\n0\r\n\r\n"), End.HOLD),
    ),
    "string that is longer than min-recv": _http(
        *("min-recv 1 string foo", OK + b"Content-Length: 3\r\n\r\nfo", End.PAUSE),
        *(Give(b"o"), End.HOLD),
    ),
    "three bytes of length": _ldap("308300000a02"),
    "short, with a length in two bytes": _ldap("308200000400"),
    "short, with a length in one byte": _ldap("308100020200"),
    "first line of an agent without end": _agent(b"up"),
    "first line of an agent that resets": _agent(b"up", End.PAUSE, End.RESET),
    "line of an agent that ends beyond the buffer": _agent(
        b"x maxconn:30", End.PAUSE, Give(b"x" * 16_374 + b"\n"), *ENDS
    ),
    "first line of an agent that is too long": _agent(b"up" + b"x" * 20_000, End.HOLD),
    "no weight, said by an agent": _agent(b"up 0%\n"),
    "weight with zeros": _agent(b"0000000000050%\n"),
    "weight beyond all limits": _agent(b"99999999999999999999%\n"),
    "weight of thousands of digits": _agent(b"9" * 5_000 + b"%\n"),
    "weight with garbage beyond limits": _agent(b"300x%\n"),
    "maxconn with a sign and zeros": _agent(b"maxconn:+000000000007\n"),
}
