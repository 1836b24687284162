"""The PROXY header that a health check sends: it comes from the proxy itself, for no client.

Version 2 has a command for that; version 1 names the check's own connection, as HAProxy does, or
says UNKNOWN where that has no addresses (a Unix socket). Pure.
"""

from __future__ import annotations

from proxy.config.model.settings import ProxyHeader

_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0"  # signature, version 2, LOCAL, no family
_CONSTANT = {
    ProxyHeader.NONE: b"",
    ProxyHeader.V2: _LOCAL + b"\0\0",
    ProxyHeader.V2_CHECKSUM: _LOCAL + b"\0\x07\x03\0\x04\xa9\xb8\x7e\x8f",
}


def check_header(
    kind: ProxyHeader, own: tuple[str, int] | None, server: tuple[str, int] | None
) -> bytes:
    """The header of a check's connection from `own` to `server`, addresses in numeric text."""
    if kind is not ProxyHeader.V1:
        return _CONSTANT[kind]
    if own is None or server is None:
        return b"PROXY UNKNOWN\r\n"
    family = "TCP6" if ":" in own[0] else "TCP4"
    return f"PROXY {family} {own[0]} {server[0]} {own[1]} {server[1]}\r\n".encode()
