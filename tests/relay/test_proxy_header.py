"""The PROXY header as bytes: what is read, what is refused, what is written; no sockets."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support_proxy_header import (
    HEADER_BYTES_MAX,
    INET,
    INET6,
    LOCAL,
    SIGNATURE,
    UNIX,
    UNSPECIFIED,
    binary,
    checked,
    extension,
    inet6_body,
    inet_body,
)

INCOMPLETE = (0, None, None)
INVALID = (-1, None, None)
ONE = (socket.AF_INET, socket.inet_aton("192.0.2.1"), 1_234)
TWO = (socket.AF_INET, socket.inet_aton("198.51.100.2"), 443)
ONE6 = (socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 1_234)
TWO6 = (socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::2"), 443)
BODY = inet_body("192.0.2.1", "198.51.100.2", 1_234, 443)
BODY6 = inet6_body("2001:db8::1", "2001:db8::2", 1_234, 443)
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
LINE6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n"
LONGEST = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
KINDS = ("v1", "v2", "v2 crc32c")

READ = {
    "line": (LINE, ONE, TWO),
    "line with IPv6": (LINE6, ONE6, TWO6),
    "longest line": (b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST, LONGEST),
                     (10, b"\xff" * 16, 65_535), (10, b"\xff" * 16, 65_535)),
    "port 0": (b"PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n", (*ONE[:2], 0), (*TWO[:2], 0)),
    "unknown": (b"PROXY UNKNOWN\r\n", None, None),
    "unknown with words": (b"PROXY UNKNOWN ffff:: a b\0c\r\n", None, None),
    "unknown of 107 bytes": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None, None),
    "binary": (binary(INET, BODY), ONE, TWO),
    "binary with IPv6": (binary(INET6, BODY6), ONE6, TWO6),
    "local": (binary(UNSPECIFIED, b"", LOCAL), None, None),
    "local with addresses": (binary(INET, BODY, LOCAL), None, None),
    "local with what no family has": (binary(0xFF, b"abc", LOCAL), None, None),
    "unspecified": (binary(UNSPECIFIED, b"abc"), None, None),
    "unix": (binary(UNIX, bytes(216)), None, None),
    "extensions": (binary(INET, BODY + extension(2, b"host") + extension(4, b"")), ONE, TWO),
    "unique id of 128 bytes": (binary(INET, BODY + extension(5, bytes(128))), ONE, TWO),
    "checksum": (checked(INET, BODY), ONE, TWO),
    "checksum before others": (checked(INET, BODY, extension(4, b"xyz")), ONE, TWO),
    "16,384 bytes": (binary(INET, BODY + extension(4, bytes(HEADER_BYTES_MAX - 31))), ONE, TWO),
}  # fmt: skip

REFUSED = {
    "nothing of the kind": b"GET / HTTP/1.0\r\n\r\n",
    "one wrong byte": b"X",
    "lower case": LINE.lower(),
    "space before": b" " + LINE,
    "two spaces": LINE.replace(b" 1234", b"  1234"),
    "space behind": LINE.replace(b"443", b"443 "),
    "word behind": LINE.replace(b"443", b"443 x"),
    "tab": LINE.replace(b" ", b"\t"),
    "LF alone": LINE.replace(b"\r", b""),
    "CR alone": LINE.replace(b"\n", b"x"),
    "CR twice": LINE.replace(b"\r", b"\r\r"),
    "no protocol": b"PROXY \r\n",
    "no words": b"PROXY TCP4\r\n",
    "three words": b"PROXY TCP4 192.0.2.1 198.51.100.2 1234\r\n",
    "empty port": LINE.replace(b"443", b""),
    "port 65536": LINE.replace(b"443", b"65536"),
    "long port": LINE.replace(b"443", b"99999999999"),
    "negative port": LINE.replace(b"443", b"-1"),
    "signed port": LINE.replace(b"443", b"+1"),
    "port with a letter": LINE.replace(b"443", b"44x"),
    "port with a leading zero": LINE.replace(b"443", b"0443"),
    "octet 256": LINE.replace(b"192", b"256"),
    "three octets": LINE.replace(b"192.0.2.1", b"192.0.2"),
    "five octets": LINE.replace(b"192.0.2.1", b"192.0.2.1.1"),
    "NUL in a word": LINE.replace(b"192.0.2.1", b"192.0.2.1\0"),
    "a name": LINE.replace(b"192.0.2.1", b"localhost"),
    "IPv6 under TCP4": LINE6.replace(b"TCP6", b"TCP4"),
    "IPv4 under TCP6": LINE.replace(b"TCP4", b"TCP6"),
    "IPv6 with a zone": LINE6.replace(b"::1 ", b"::1%1 "),
    "IPv6 in brackets": LINE6.replace(b"2001:db8::1", b"[2001:db8::1]"),
    "TCP5": LINE.replace(b"TCP4", b"TCP5"),
    "UDP4": LINE.replace(b"TCP4", b"UDP4"),
    "UNKNOWNX": b"PROXY UNKNOWNX\r\n",
    "word of 46 bytes": LINE.replace(b"192.0.2.1", b"1" * 46),
    "107 bytes without an end": b"PROXY UNKNOWN " + b"x" * 93,
    "end after 107 bytes": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "signature with an error": SIGNATURE[:-1] + b"X",
    "version 1": binary(INET, BODY, 0x11),
    "version 3": binary(INET, BODY, 0x30),
    "command 2": binary(INET, BODY, 0x22),
    "UDP over IPv4": binary(0x12, BODY),
    "no transport": binary(0x10, BODY),
    "no family": binary(0x01, BODY),
    "family 4": binary(0x41, BODY),
    "datagrams of Unix": binary(0x32, bytes(216)),
    "too short": binary(INET, BODY[:11]),
    "too short for IPv6": binary(INET6, BODY6[:35]),
    "too short for Unix": binary(UNIX, bytes(215)),
    "one byte behind": binary(INET, BODY + b"\4"),
    "extension without a length": binary(INET, BODY + b"\4\0"),
    "extension beyond the end": binary(INET, BODY + b"\4\0\2x"),
    "wrong checksum": binary(INET, BODY + extension(3, b"abcd")),
    "checksum of three bytes": binary(INET, BODY + extension(3, b"abc")),
    "unique id of 129 bytes": binary(INET, BODY + extension(5, bytes(129))),
    "16,385 bytes": binary(INET, BODY + extension(4, bytes(HEADER_BYTES_MAX - 30))),
    "65,535 bytes": binary(INET, BODY + extension(4, bytes(65_520))),
}


@pytest.mark.parametrize("name", READ)
def test_a_header_is_read_however_much_of_it_has_come(parts: Any, name: str) -> None:
    header, source, destination = READ[name]
    for end in {*range(min(len(header), 300)), len(header) - 1}:
        assert parts.header_read_of(header[:end]) == INCOMPLETE, f"{end} of {len(header)}"
    expected = (len(header), source, destination)
    assert parts.header_read_of(header) == expected
    assert parts.header_read_of(header + b"first bytes\r\n") == expected


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_header_is_refused_and_names_no_address(parts: Any, name: str) -> None:
    assert parts.header_read_of(REFUSED[name]) == INVALID


def test_an_impossible_length_is_refused_before_its_bytes_come(parts: Any) -> None:
    for name in ("too short", "command 2", "family 4", "16,385 bytes"):
        assert parts.header_read_of(REFUSED[name][:16]) == INVALID, name


def test_a_checksum_notices_each_flipped_bit(parts: Any) -> None:
    header = bytearray(checked(INET6, BODY6, extension(4, b"xyz")))
    assert parts.header_read_of(bytes(header))[0] == len(header)
    kind = header.index(b"\3\0\4")  # another kind of extension is no checksum
    for bit in {*range(16 * 8, len(header) * 8)} - {*range(kind * 8, kind * 8 + 8)}:
        header[bit // 8] ^= 1 << bit % 8
        assert parts.header_read_of(bytes(header))[0] <= 0, f"bit {bit}"
        header[bit // 8] ^= 1 << bit % 8


def test_what_is_written_is_what_haproxy_writes(parts: Any) -> None:
    assert parts.header_written("v1", ONE, TWO) == LINE
    assert parts.header_written("v1", ONE6, TWO6) == LINE6
    assert parts.header_written("v2", ONE, TWO) == binary(INET, BODY)
    assert parts.header_written("v2", ONE6, TWO6) == binary(INET6, BODY6)
    assert parts.header_written("v2 crc32c", ONE, TWO) == checked(INET, BODY)


@pytest.mark.parametrize("pair", [(None, None), (ONE, None), (ONE, TWO6), ((1, b"", 0), None)])
def test_without_two_addresses_of_one_family_none_is_told(parts: Any, pair: Any) -> None:
    assert parts.header_written("v1", *pair) == b"PROXY UNKNOWN\r\n"
    assert parts.header_written("v2", *pair) == binary(UNSPECIFIED, b"", LOCAL)
    # these very bytes come from HAProxy 2.6
    checksum = bytes.fromhex("030004a9b87e8f")
    assert parts.header_written("v2 crc32c", *pair) == binary(UNSPECIFIED, checksum, LOCAL)


def addresses(size: int, family: int) -> st.SearchStrategy[Any]:
    side = st.tuples(
        st.just(family), st.binary(min_size=size, max_size=size), st.integers(0, 65_535)
    )
    return st.tuples(side, side)


@settings(max_examples=300, deadline=None)
@given(
    pair=st.one_of(addresses(4, socket.AF_INET), addresses(16, socket.AF_INET6)),
    kind=st.sampled_from(KINDS),
    behind=st.binary(max_size=40),
)
def test_what_is_written_is_read_back(parts: Any, pair: Any, kind: str, behind: bytes) -> None:
    written = parts.header_written(kind, *pair)
    assert parts.header_read_of(written + behind) == (len(written), *pair)
    for end in range(len(written)):
        assert parts.header_read_of(written[:end]) == INCOMPLETE


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_and_damaged_headers_are_read_within_their_memory(
    parts: Any, seed: int
) -> None:
    """The sanitizers watch; a length is never beyond the bytes, and it says so of any prefix."""
    chance = random.Random(seed)
    good = [header for header, _, _ in READ.values() if len(header) < 1_000]
    for _ in range(3_000):
        data = bytearray(chance.choice(good) + chance.randbytes(chance.randrange(30)))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            data[14:16] = struct.pack(">H", chance.randrange(40))
        del data[chance.randrange(len(data) + 1) :]
        found, source, destination = parts.header_read_of(bytes(data))
        assert -1 <= found <= len(data), f"seed {seed}: {bytes(data)!r}"
        assert (source is None) == (destination is None), f"seed {seed}: {bytes(data)!r}"
        assert found > 0 or source is None, f"seed {seed}: {bytes(data)!r}"
        if found > 0:
            assert parts.header_read_of(bytes(data[:found])) == (found, source, destination)
            assert parts.header_read_of(bytes(data[: found - 1]))[0] == 0
