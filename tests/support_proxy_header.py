"""PROXY headers of version 2 by an arithmetic of their own, so that two programs must agree."""

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
