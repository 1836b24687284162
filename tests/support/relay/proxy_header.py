"""PROXY headers, good and bad; those of version 2 by an arithmetic of their own, so that two agree."""

from __future__ import annotations

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER_BYTES_MAX = 16_384
LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, INET, INET6, UNIX = 0x00, 0x11, 0x21, 0x31
CASTAGNOLI = 0x82F63B78


def binary(family: int, body: bytes, command: int = PROXY) -> bytes:
    """A whole header."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def inet_body(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    """Addresses and ports of IPv4."""
    packed = socket.inet_aton(source) + socket.inet_aton(destination)
    return packed + struct.pack(">HH", source_port, destination_port)


def inet6_body(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    """Addresses and ports of IPv6."""
    packed = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in (source, destination))
    return packed + struct.pack(">HH", source_port, destination_port)


def extension(kind: int, value: bytes) -> bytes:
    """A TLV."""
    return struct.pack(">BH", kind, len(value)) + value


def crc32c(data: bytes) -> int:
    """Bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def checked(family: int, body: bytes, behind: bytes = b"") -> bytes:
    """A header with a checksum TLV after the addresses, and `behind` after that."""
    blank = binary(family, body + extension(3, bytes(4)) + behind)
    whole = body + extension(3, struct.pack(">I", crc32c(blank))) + behind
    return binary(family, whole)


ONE = (socket.AF_INET, socket.inet_aton("192.0.2.1"), 1_234)
TWO = (socket.AF_INET, socket.inet_aton("198.51.100.2"), 443)
ONE6 = (socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 1_234)
TWO6 = (socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::2"), 443)
BODY = inet_body("192.0.2.1", "198.51.100.2", 1_234, 443)
BODY6 = inet6_body("2001:db8::1", "2001:db8::2", 1_234, 443)
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
LINE6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n"
_LONGEST = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

READ = {  # and the addresses that each names
    "line": (LINE, ONE, TWO),
    "line with IPv6": (LINE6, ONE6, TWO6),
    "longest line": (b"PROXY TCP6 %b %b 65535 65535\r\n" % (_LONGEST, _LONGEST),
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
