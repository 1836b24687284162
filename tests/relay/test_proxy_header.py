"""The PROXY header as bytes: what is read, what is refused, what is written; no sockets."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.generated import examples
from tests.support.relay.proxy_header import (
    BODY,
    BODY6,
    INET,
    INET6,
    LINE,
    LINE6,
    LOCAL,
    ONE,
    ONE6,
    READ,
    REFUSED,
    TWO,
    TWO6,
    UNSPECIFIED,
    binary,
    checked,
    extension,
)

INCOMPLETE = (0, None, None)
INVALID = (-1, None, None)
KINDS = ("v1", "v2", "v2 crc32c")


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


def test_of_two_families_the_older_one_is_mapped(parts: Any) -> None:
    mapped = socket.inet_ntop(socket.AF_INET6, bytes(10) + b"\xff\xff" + ONE[1])
    line = parts.header_written("v1", ONE, TWO6)
    assert line.startswith(f"PROXY TCP6 {mapped} ".encode())
    assert parts.header_written("v2", TWO6, ONE)[16 + 16 : 16 + 32] == (
        bytes(10) + b"\xff\xff" + ONE[1]
    )


def test_what_is_written_is_what_haproxy_writes(parts: Any) -> None:
    assert parts.header_written("v1", ONE, TWO) == LINE
    assert parts.header_written("v1", ONE6, TWO6) == LINE6
    assert parts.header_written("v2", ONE, TWO) == binary(INET, BODY)
    assert parts.header_written("v2", ONE6, TWO6) == binary(INET6, BODY6)
    assert parts.header_written("v2 crc32c", ONE, TWO) == checked(INET, BODY)


@pytest.mark.parametrize("pair", [(None, None), (ONE, None), ((1, b"", 0), None)])
def test_without_two_addresses_none_is_told(parts: Any, pair: Any) -> None:
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


@settings(max_examples=examples(300))
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
