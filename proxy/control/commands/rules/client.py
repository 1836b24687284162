"""A client that `show why session` asks about: what its words tell, and what they leave open."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from proxy.control.command import CommandError

USAGE = "usage: show why session <src>[:<port>] [<dst>[:<port>]] [sni=<name>] [frontend=<name>]"
NAME_MAX = 255  # bytes of a server name: DNS has no longer ones
_WORDS = ("sni", "frontend")


class AskedEnd(NamedTuple):
    """One end of a connection, as far as it is told."""

    address: str | None = None
    port: int | None = None

    @property
    def text(self) -> str:
        """As it is written."""
        host = f"[{self.address}]" if self.address and ":" in self.address else self.address or ""
        return host if self.port is None else f"{host}:{self.port}"


class AskedClient(NamedTuple):
    """What is told of a connection; `sni` "": it is one of TLS that names no server."""

    source: AskedEnd
    target: AskedEnd = AskedEnd()
    sni: str | None = None
    frontend: str | None = None


def parse_client(words: list[str]) -> AskedClient:
    """The client that these words describe; CommandError."""
    named: dict[str, str] = {}
    ends: list[AskedEnd] = []
    for word in words:
        key, sign, value = word.partition("=")
        if sign and key in _WORDS and key not in named:
            named[key] = value
        elif sign or len(ends) == 2:
            raise CommandError(USAGE)
        else:
            ends.append(_end(word))
    if not ends or ends[0].address is None:
        raise CommandError(USAGE)
    name = named.get("sni")
    if name is not None and not (name.isascii() and len(name) <= NAME_MAX):
        raise CommandError(f"A server name has at most {NAME_MAX} ASCII characters.")
    return AskedClient(
        ends[0], ends[1] if len(ends) > 1 else AskedEnd(), name, named.get("frontend")
    )


def _end(word: str) -> AskedEnd:
    """An address with or without a port; only a port behind a colon or a star."""
    host, colon, port = word.rpartition(":")
    if not colon or (host.count(":") and not host.endswith("]")):
        host, port = word, ""
    elif not port:
        raise CommandError(USAGE)
    host = host.removeprefix("[").removesuffix("]")
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65_536):
        raise CommandError(f"'{port}' is no port.")
    number = int(port) if port else None
    if host in ("", "*"):
        return AskedEnd(None, number)
    try:
        return AskedEnd(str(ipaddress.ip_address(host)), number)
    except ValueError:
        raise CommandError(f"'{host}' is no address.") from None


def hello(name: str) -> bytes:
    """The first bytes of a TLS client that wants this server; "" names none (RFC 8446, 6066)."""
    extensions = b""
    if name:
        entry = b"\0" + _counted(name.encode(), 2)
        extensions = b"\0\0" + _counted(_counted(entry, 2), 2)
    body = b"\x03\x03" + bytes(32) + b"\0" + _counted(b"\x13\x01", 2) + b"\x01\0"
    return b"\x16\x03\x01" + _counted(b"\x01" + _counted(body + _counted(extensions, 2), 3), 2)


def _counted(content: bytes, size: int) -> bytes:
    """A vector of TLS: its length in so many bytes, and itself."""
    return len(content).to_bytes(size, "big") + content
