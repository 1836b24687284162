"""Settings of sockets: addresses, where they were written, and what their connections are like.

Owns the parts of the settings that say nothing of proxies; import them from `model`.
"""

from __future__ import annotations

import enum
import os

import msgspec

SUN_PATH_BYTES = 108  # <sys/un.h>


class SocketFamily(enum.Enum):
    """What kind of address a socket has."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    UNIX = "unix"
    ABSTRACT = "abns"
    DESCRIPTOR = "fd"


class Origin(msgspec.Struct, frozen=True):
    """Where a setting was written, for messages: file as given on the command line, line from 1."""

    file: str = "-"
    line: int = 0


class Endpoint(msgspec.Struct, frozen=True):
    """One numeric address: host and port, or a path, an abstract name or a descriptor in `host`."""

    family: SocketFamily
    host: str
    port: int = 0

    @property
    def local_name(self) -> bytes:
        """`sun_path` of a Unix socket; an abstract name is as long as the field, as HAProxy's."""
        name = os.fsencode(self.host)
        if self.family is SocketFamily.ABSTRACT:
            return b"\0" + name.ljust(SUN_PATH_BYTES - 1, b"\0")
        return name + b"\0"


class KeepAlive(msgspec.Struct, frozen=True):
    """How TCP probes an idle connection; None: as the host is set up."""

    count: int | None = None  # probes without an answer before it is given up
    idle_s: int | None = None  # seconds of silence before the first probe
    interval_s: int | None = None  # seconds between probes


class Source(msgspec.Struct, frozen=True):
    """`source`: where connections toward a server come from; no address: the kernel says."""

    address: str | None = None  # numeric
    port_first: int = 0
    ports: int = 0  # in the range; 0: any port
    foreign: bool = False  # `usesrc <address>`: it need not be this host's
    from_client: bool = False  # `usesrc clientip`: the client's address
    from_client_port: bool = False  # `usesrc client`: and its port
    interface: str | None = None
