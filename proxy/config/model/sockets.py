"""Settings of sockets: addresses, their origin, keep-alive probes, source addresses.

Owns the settings without a proxy; import them from settings.py.
"""

from __future__ import annotations

import enum
import os

import msgspec

SUN_PATH_BYTES = 108  # <sys/un.h>


class SocketFamily(enum.Enum):
    """The kind of a socket's address."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    UNIX = "unix"
    ABSTRACT = "abns"
    DESCRIPTOR = "fd"


class Origin(msgspec.Struct, frozen=True):
    """The file of a setting, as on the command line, and its line from 1, for messages."""

    file: str = "-"
    line: int = 0


class Endpoint(msgspec.Struct, frozen=True):
    """One numeric address: host and port, or a path, an abstract name or a descriptor in `host`."""

    family: SocketFamily
    host: str
    port: int = 0

    @property
    def local_name(self) -> bytes:
        """`sun_path` of a Unix socket; an abstract name is padded to its size, as by HAProxy."""
        name = os.fsencode(self.host)
        if self.family is SocketFamily.ABSTRACT:
            return b"\0" + name.ljust(SUN_PATH_BYTES - 1, b"\0")
        return name + b"\0"


class KeepAlive(msgspec.Struct, frozen=True):
    """TCP keep-alive probes of an idle connection; None: the host's sysctl."""

    count: int | None = None  # unanswered probes before the connection is dropped
    idle_s: int | None = None  # idle seconds before the first probe
    interval_s: int | None = None  # seconds between probes


class Source(msgspec.Struct, frozen=True):
    """`source`: the source address of connections to a server; None: the kernel's choice."""

    address: str | None = None  # numeric
    port_first: int = 0
    ports: int = 0  # in the range; 0: any port
    foreign: bool = False  # `usesrc <address>`: perhaps not an address of this host
    from_client: bool = False  # `usesrc clientip`: the client's address
    from_client_port: bool = False  # `usesrc client`: the client's address and port
    interface: str | None = None
