"""Samples of first bytes: hellos of real programs, cut at every byte and into records."""

from __future__ import annotations

import random
import ssl

import pytest

from proxy.config.lines.rules.fetches import FETCHES, Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.rules.formats import Formats
from proxy.rules.program import Seen as Request
from shm.segment import Segment
from shm.shape import Shape
from tests.support.content import hellos
from tests.support.content.looking import EXPRESSIONS, LATER, OF_HTTP, Seen, look

NONE_YET, NONE = Seen([], True), Seen([], False)
OF_HELLO = (
    *("req.ssl_sni", "req.ssl_alpn", "req.ssl_ec_ext", "req.ssl_st_ext", "req.ssl_hello_type"),
    *LATER,
)
HELLO_BYTES_MAX = 15_360  # what HAProxy's buffer takes, and more than a record has of a hello
REAL = {
    "Python, TLS 1.3, ALPN": (
        lambda: hellos.of_python("app.example", ["h2", "http/1.1"]),
        ([b"app.example"], [b"h2", b"http/1.1"], [0x0303]),
    ),
    "Python, TLS 1.2, no name": (
        lambda: hellos.of_python(None, version=ssl.TLSVersion.TLSv1_2),
        ([], [], [0x0303]),
    ),
    "Python, an address as name": (lambda: hellos.of_python("127.0.0.1"), ([], [], [0x0303])),
    "openssl, TLS 1.3, ALPN": (
        lambda: hellos.of_openssl("-servername", "app.example", "-alpn", "acme-tls/1"),
        ([b"app.example"], [b"acme-tls/1"], [0x0303]),
    ),
    "openssl, TLS 1.2": (
        lambda: hellos.of_openssl("-tls1_2", "-servername", "App.Example"),
        ([b"App.Example"], [], [0x0303]),
    ),
    "openssl, no name": (lambda: hellos.of_openssl("-noservername"), ([], [], [0x0303])),
    "made: GREASE, ECH, post-quantum": (
        hellos.modern,
        ([b"app.example"], [b"h2", b"http/1.1"], [0x0303]),
    ),
}

MATCHERS = ("beg", "dir", "dom", "end", "len", "reg", "sub")  # at the end of old spellings


def test_each_fetch_of_first_bytes_is_asked_here() -> None:
    asked = {expression.partition("(")[0] for expression in (*EXPRESSIONS, *OF_HTTP, *LATER)}
    asked |= {"req.hdr_ip", "req.hdr_val", "urlp_val"}  # numbers and addresses of what is asked
    asked |= {"hdr", "hdr_cnt", "hdr_ip", "hdr_val", "req.hdr", "http_first_req", "url_param"}
    old = {name for name in FETCHES if "_" in name and name.replace("_", ".", 1) in asked}
    old |= {"rdp_cookie", "rdp_cookie_cnt"}
    of_bytes = {
        name
        for name, fetch in FETCHES.items()
        if Scope.CONTENT in fetch.scope and Scope.SESSION not in fetch.scope
    }
    with_matcher = {f"{name}_{matcher}" for name in asked for matcher in MATCHERS}
    assert of_bytes - with_matcher == (asked | old) - with_matcher


@pytest.mark.parametrize("kind", REAL)
def test_a_hello_says_nothing_until_it_is_whole(kind: str) -> None:
    made, (names, protocols, versions) = REAL[kind]
    hello = made()
    for end in range(len(hello)):
        for expression in (*OF_HELLO, "req.ssl_ver"):
            assert look(expression, hello[:end]) == NONE_YET, (expression, end)
    for more in (b"", b"\x17\x03\x03\0\1x"):  # early data may follow
        assert look("req.ssl_sni", hello + more) == Seen(list(names), False)
        assert look("req.ssl_alpn", hello + more) == Seen(list(protocols), False)
        assert look("req.ssl_ver", hello + more) == Seen(
            [v + (3 << 16) - 0x300 for v in versions], False
        )
        assert look("req.ssl_hello_type", hello + more) == Seen([1], False)
        assert look("req.ssl_ec_ext", hello + more) == Seen([1], False)


@pytest.mark.parametrize("kind", REAL)
def test_a_hello_in_records_says_the_same(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    hello = REAL[kind][0]()
    whole = {expression: look(expression, hello) for expression in OF_HELLO}
    message = hello[hellos.HEADER_BYTES :]
    for most in (1, 3, 40, 600):
        split = hellos.in_records(message, [chance.randint(1, most) for _ in message])
        for expression in OF_HELLO:
            assert look(expression, split) == whole[expression], (expression, most)
            assert look(expression, split[: chance.randrange(len(split))]) == NONE_YET
        assert look("req.ssl_ver", split) == Seen([0x30003], False)


def test_what_spans_records_needs_scratch_and_what_does_not_does_not() -> None:
    hello = hellos.modern()
    split = hellos.in_records(hello[hellos.HEADER_BYTES :], [hello.index(b"example") - 5])
    assert look("req.ssl_sni", split) == Seen([b"app.example"], False)
    assert look("req.ssl_sni", split, scratch=False) == NONE
    assert look("req.ssl_sni", hello, scratch=False) == Seen([b"app.example"], False)


def test_lists_of_a_hello_are_told_as_they_are() -> None:
    hello = hellos.modern()
    numbers = hellos.numbers
    assert look("req.ssl_cipherlist", hello).values == [numbers(hellos.GREASE, 0x1301, 0x1302)]
    assert look("req.ssl_supported_groups", hello).values == [
        numbers(hellos.GREASE, 0x11EC, 29, 23)
    ]
    assert look("req.ssl_keyshare_groups", hello).values == [numbers(hellos.GREASE, 0x11EC, 29)]
    assert look("req.ssl_sigalgs", hello).values == [numbers(0x0403, 0x0804)]


def test_a_session_ticket_is_absent_empty_or_there() -> None:
    for extensions, found in (([], 0), ([(hellos.TICKET, b"")], 1), ([(hellos.TICKET, b"x")], 2)):
        hello = hellos.in_records(hellos.message([(hellos.PADDING, bytes(9)), *extensions]), [])
        assert look("req.ssl_st_ext", hello) == Seen([found], False)


def test_as_large_a_hello_as_a_buffer_takes() -> None:
    least = len(hellos.modern())
    hello = hellos.modern(padding=HELLO_BYTES_MAX - least)
    assert len(hello) == HELLO_BYTES_MAX
    assert look("req.ssl_sni", hello) == Seen([b"app.example"], False)
    assert look("req.ssl_sni", hello[:-1]) == NONE_YET
    many = hellos.protocols_of(*[b"a"] * 7_000)
    crowded = hellos.in_records(hellos.message([many]), [])
    assert look("req.ssl_alpn", crowded) == Seen([b"a"] * 7_000, False)


@pytest.mark.parametrize(
    "extension",
    [
        (hellos.SERVER_NAME, b""),
        (hellos.SERVER_NAME, b"\0\7\0\0\1x"),  # the list is longer than the extension
        (hellos.SERVER_NAME, b"\0\4\0\0\2x"),  # the name is longer than the list
        (hellos.SERVER_NAME, b"\0\3\0\0\0"),
        hellos.server_name(b"name", kind=1),
    ],
)
def test_a_malformed_name_is_none(extension: tuple[int, bytes]) -> None:
    content = hellos.in_records(hellos.message([extension, (hellos.PADDING, bytes(20))]), [])
    assert look("req.ssl_sni", content) == NONE


@pytest.mark.parametrize(
    ("content", "expression", "found"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "req.ssl_sni", NONE),
        (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "req.ssl_sni", NONE),  # another message
        (b"\x16\x02\x01", "req.ssl_sni", NONE),
        (b"\x16\x03\x01\x00\x00", "req.ssl_sni", NONE),  # an empty record
        (b"\x15\x03\x01\x00\x02\x01\x00", "req.ssl_sni", NONE),
        (hellos.of_ssl2(), "req.ssl_ver", Seen([0x30001], False)),
        (hellos.of_ssl2()[:-1], "req.ssl_ver", NONE_YET),
        (hellos.of_ssl2(padding=3), "req.ssl_ver", Seen([0x30001], False)),
        (hellos.of_ssl2(padding=3)[:-1], "req.ssl_ver", NONE_YET),
        (hellos.of_ssl2(ciphers=8), "req.ssl_ver", NONE),
        (hellos.of_ssl2(challenge=33), "req.ssl_ver", NONE),
        (b"\0\0\0\4abcd", "req.payload_lv(2,2)", Seen([b"abcd"], False)),
        (b"\0\0\0\4abcd", "req.payload_lv(2,2,5)", NONE_YET),
        (b"\0\0\0\3abcd", "req.payload_lv(2,2,5)", Seen([b"bcd"], False)),  # absolute: the manual
        (b"\0\0\0\3abcd", "req.payload_lv(2,2,+1)", Seen([b"bcd"], False)),
        (b"\0\0\0\0abcd", "req.payload_lv(2,2)", NONE),
    ],
)
def test_other_bytes(content: bytes, expression: str, found: Seen) -> None:
    assert look(expression, content) == found


def test_bytes_of_a_server_are_looked_at_by_the_same_functions() -> None:
    hello = b"\x16\x03\x03\0\x06\2\0\0\2ab"
    assert look("res.ssl_hello_type", hello, answer=True) == Seen([2], False)
    assert look("rep_ssl_hello_type", hello[:-1], answer=True) == NONE_YET
    assert look("res.len", hello, answer=True) == Seen([len(hello)], True)
    assert look("res.payload(0,3)", hello, answer=True) == Seen([hello[:3]], False)
    assert look("res.payload_lv(3,2)", hello, answer=True) == Seen([hello[5:]], False)
    assert look("payload(9,0)", hello, answer=True) == Seen([b"ab"], True)


def test_the_end_of_the_wait() -> None:
    assert look("wait_end", b"x") == NONE_YET
    assert look("wait_end", b"x", final=True) == Seen([1], False)


def test_expressions_over_first_bytes_are_values_like_others() -> None:
    segment = Segment.create(
        Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
    )
    form = ValueReader(Scope.CONTENT, {}).format("%[req.ssl_sni,upper]/%[req.ssl_ver]/%[req.len]")
    hello = hellos.modern()
    split = hellos.in_records(hello[hellos.HEADER_BYTES :], range(1, 9))
    formats = Formats(segment, [form])
    for content in (hello, split):
        said = f"APP.EXAMPLE/196611/{len(content)}".encode()
        assert formats.answer(0, Request(content=content)) == said
    assert formats.answer(0, Request(content=hello[:-1])) == b"//%d" % (len(hello) - 1)
    assert formats.answer(0, Request()) == b"//"
