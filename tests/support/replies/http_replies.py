"""Generated answers to `option httpchk`, and rules about them."""

from __future__ import annotations

from random import Random

from tests.support.replies.damage import FULL, damaged, delivered, ended, lied, text
from tests.support.replies.deeds import Take
from tests.support.replies.play import Case

METHODS = ("", "", " GET /", " HEAD /", " GET /a HTTP/1.1")
STATUSES = (
    *(b"200", b"204", b"301", b"304", b"404", b"500", b"503", b"999", b"000", b"0200", b"65736"),
)
VERSIONS = (
    *(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"RTSP/1.0"),
)
FIELDS = (
    *(b"Server: x", b"X-State: up", b"x-state: a, b ,c", b"X-State:", b"A: \tb\t", b"Foo: foo bar"),
    *(b'List: "a,b", c', b"Via: 1.1 p\r\n folded", b"A b: c", b"Bad", b"X-State: \xc3\xa9\xff"),
    *(b"Connection: close", b"Connection: upgrade", b"Set-Cookie: a=b, c=d", b'E: a\\",b'),
)
RULES = (
    *("status 200", "status 200-399", "status 100,200-204,503", "! status 500-599", "status 0-999"),
    *("rstatus ^2", "rstatus ^[23]", "! rstatus ^5", "rstatus 0$"),
    *("string foo", "! string foo", "rstring fo+", "rstring ^foo$", "! rstring bar", "string \\r"),
    *("string foo min-recv 2", "min-recv 4 rstring o", "min-recv 5 ! string foo"),
    *("hdr name x-state", "hdr name x-state value up", "! hdr name x-state value b"),
    *("hdr name -m beg x- value -m sub a", "hdr name -m end e value -m end b"),
    "hdr name e value b",
    *("fhdr name x-state value -m beg a", "fhdr name list value -m reg ^.a", "fhdr name -m reg ^s"),
    *("fhdr name via value -m sub folded", "hdr name list value c", "hdr name -m sub oo"),
)
OPTIONS = (
    *("comment one", "error-status L7RSP", "error-status L4CON", "ok-status L7OKC"),
    *("ok-status L6OK", "on-error bad", "on-success fine", "tout-status L6TOUT"),
)
BODIES = (b"foo", b"foofoo", b"bar", b"xxfooxx", b"f", b"\r\n", b"foo\0bar", b"")


def _body(chance: Random) -> bytes:
    if chance.random() < 0.05:
        return b"x" * (FULL - chance.randrange(-200, 400)) + chance.choice(BODIES)
    return chance.choice(BODIES)


def _chunked(chance: Random, body: bytes) -> bytes:
    chunks = b""
    while body:
        size = chance.randrange(1, len(body) + 1)
        number = b"%x" % lied(chance, size, 1 << 16) if chance.random() < 0.1 else b"%x" % size
        extension = chance.choice((b"", b"", b"", b" ", b";a", b'; a="b"'))
        chunks += number + extension + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    end = chance.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\nrest", b"000\r\n\r\n", b""))
    return chunks + end


def _answer(chance: Random) -> bytes:
    body = _body(chance)
    start = chance.choice(VERSIONS) + b" " + chance.choice((b"200", chance.choice(STATUSES)))
    if chance.random() < 0.9:
        start += b" " + text(chance, "OK", "Not", "Found", "Error", "é")
    fields = [chance.choice(FIELDS) for _ in range(chance.choice((0, 1, 1, 2, 4)))]
    kind = chance.randrange(4)
    if kind == 0:
        body = _chunked(chance, body)
        fields.append(b"Transfer-Encoding: chunked")
    elif kind == 1:
        fields.append(b"Content-Length: %d" % lied(chance, len(body), 1 << 16))
    elif kind == 2:
        fields.append(b"Content-Length: %d" % len(body))
    chance.shuffle(fields)
    before = b""
    if chance.random() < 0.04:
        before = b"HTTP/1.1 103 Early" + b"\r\nA: b" * chance.randrange(4) + b"\r\n\r\n"
        before *= chance.choice((1, 1, 2, 300, 1_000))
    line_end = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    return before + line_end.join((start, *fields, b"", b"")) + body


def http_check(chance: Random) -> Case:
    """A section of its own, and an answer that its rules speak of."""
    lines = ["option httpchk" + chance.choice(METHODS)]
    if chance.random() < 0.1:
        lines.append("http-check disable-on-404")
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        option = chance.choice(OPTIONS) if chance.random() < 0.3 else ""
        lines.append(f"http-check expect {option} {chance.choice(RULES)}")
    data = damaged(chance, _answer(chance), (_answer(chance),))
    return Case(tuple(lines), (Take(None), *delivered(chance, data), *ended(chance)))
