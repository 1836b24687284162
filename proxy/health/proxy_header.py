"""The PROXY header that a health check sends: it comes from the proxy itself, for no client.

Version 2 has a command for that; version 1 names the check's own connection, as HAProxy does, or
says UNKNOWN where that has no addresses (a Unix socket). With `pp2-never-send-local` version 2
names the connection, too, as if it were a client's (manual section 3.1). Pure.
"""

from __future__ import annotations

import socket
import struct

from proxy.config.model.settings import ProxyHeader

Place = tuple[str, int]  # an address in numeric text, and a port

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL = _SIGNATURE + b"\x20\0"  # version 2, LOCAL, no family
_PROXY = b"\x21"  # version 2, PROXY
_TLS_TLV = b"\x20\0\x05" + bytes(5)  # of a connection in the clear, as HAProxy has it
_CONSTANT = {
    ProxyHeader.NONE: b"",
    ProxyHeader.V2: _LOCAL + b"\0\0",
    ProxyHeader.V2_CHECKSUM: _LOCAL + b"\0\x07\x03\0\x04\xa9\xb8\x7e\x8f",
    ProxyHeader.V2_TLS: _LOCAL + b"\0\x08" + _TLS_TLV,
    ProxyHeader.V2_TLS_CHECKSUM: _LOCAL + b"\0\x0f\x03\0\x04\x88\x9d\xa1\xdf" + _TLS_TLV,
}
_FAMILIES = {socket.AF_INET: b"\x11", socket.AF_INET6: b"\x21"}  # over TCP
_CHECKSUM_TLV = b"\x03\0\x04"
_CASTAGNOLI = 0x82F63B78  # CRC32c, reflected


def check_header(
    kind: ProxyHeader, own: Place | None, server: Place | None, *, never_local: bool = False
) -> bytes:
    """The header of a check's connection from `own` to `server`; None: a Unix socket's."""
    if own is None or server is None:
        return b"PROXY UNKNOWN\r\n" if kind is ProxyHeader.V1 else _CONSTANT[kind]
    if kind is ProxyHeader.V1:
        family = "TCP6" if ":" in own[0] else "TCP4"
        return f"PROXY {family} {own[0]} {server[0]} {own[1]} {server[1]}\r\n".encode()
    if kind is ProxyHeader.NONE or not never_local:
        return _CONSTANT[kind]
    return _named(own, server, kind)


def _named(own: Place, server: Place, kind: ProxyHeader) -> bytes:
    """Version 2 with the command PROXY and the addresses of the check's connection."""
    family = socket.AF_INET6 if ":" in own[0] else socket.AF_INET
    hosts = b"".join(socket.inet_pton(family, host) for host, _ in (own, server))
    body = hosts + struct.pack(">HH", own[1], server[1])
    checked = kind in (ProxyHeader.V2_CHECKSUM, ProxyHeader.V2_TLS_CHECKSUM)
    tail = _CHECKSUM_TLV + bytes(4) if checked else b""
    at = len(_SIGNATURE) + 4 + len(body) + len(_CHECKSUM_TLV)  # of the checksum
    tail += _TLS_TLV if kind in (ProxyHeader.V2_TLS, ProxyHeader.V2_TLS_CHECKSUM) else b""
    length = struct.pack(">H", len(body) + len(tail))
    header = _SIGNATURE + _PROXY + _FAMILIES[family] + length + body + tail
    return (
        header[:at] + struct.pack(">I", _crc32c(header)) + header[at + 4 :] if checked else header
    )


def _crc32c(data: bytes) -> int:
    """The checksum of the PROXY protocol (section 2.2.3), of at most some dozen bytes."""
    remainder = 0xFFFF_FFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (_CASTAGNOLI if remainder & 1 else 0)
    return remainder ^ 0xFFFF_FFFF
