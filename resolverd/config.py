"""Settings of resolverd: immutable structs that the configuration fills and a fork passes on.

Owns the words of the `resolvers` section and the settings of each server with a resolution. Knows
no file and no socket. All times are milliseconds, named `_ms`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from shm.standing import ConfiguredServer

PAYLOAD_MIN = 12  # bytes: a DNS header, HAProxy's lower limit
PAYLOAD_MAX = 65535  # bytes: the largest 16-bit length
PAYLOAD_DEFAULT = 512  # bytes: RFC 1035 section 4.2.1
NAMESERVER_PORT = 53
FOLLOWED_MAX = 16  # nameservers of one resolv.conf: libc itself asks three
RESOLVE_NETS_MAX = 5  # networks of one server line, HAProxy's limit (S44)
SERVICE_PREFIX = "_"  # RFC 2782: the labels of a service and its protocol begin with it


class Family(enum.IntEnum):
    """Address family of a server; the value is what a slot record stores."""

    NONE = 0
    IPV4 = 4
    IPV6 = 6


class Transport(enum.Enum):
    """The transport protocol of a nameserver line."""

    UDP = "udp"
    TCP = "tcp"


class Holds(msgspec.Struct, frozen=True):
    """The six `hold` periods: how far back a valid answer still protects a server (S36, S40)."""

    valid_ms: int = 10_000
    obsolete_ms: int = 0
    nx_ms: int = 30_000
    refused_ms: int = 30_000
    timeout_ms: int = 30_000
    other_ms: int = 30_000


class Nameserver(msgspec.Struct, frozen=True):
    """One `nameserver` line, its address already numeric."""

    name: str
    address: str
    port: int = NAMESERVER_PORT
    transport: Transport = Transport.UDP
    index: int = 0  # row in the segment's nameserver counters, counted over all sections


@functools.cache
def names_of(nameservers: tuple[Nameserver, ...]) -> frozenset[str]:
    """The names of the nameservers; one set for all resolutions of a section."""
    return frozenset(nameserver.name for nameserver in nameservers)


@functools.cache
def rows_of(nameservers: tuple[Nameserver, ...]) -> Mapping[str, int]:
    """The counters' rows of nameservers by name; one mapping for all resolutions of a section."""
    return MappingProxyType({nameserver.name: nameserver.index for nameserver in nameservers})


class Followed(msgspec.Struct, frozen=True):
    """`parse-resolv-conf`: a section has the nameservers of this file, and follows its changes.

    Their rows in the segment are `rows` from `first_row` on, in no order. `search` and `ndots`:
    whether these come from the file as well, or from lines of the section.
    """

    path: str
    first_row: int
    rows: int = FOLLOWED_MAX
    search: bool = True
    ndots: bool = True

    def __contains__(self, row: int) -> bool:
        """Whether the file's nameservers have this row."""
        return self.first_row <= row < self.first_row + self.rows


class TtlPeriod(msgspec.Struct, frozen=True):
    """`timeout resolve ttl`: the answers' time to live is the period, within these bounds (M16)."""

    min_ms: int = 1_000  # also after a run that failed
    max_ms: int = 60_000


class ResolversSection(msgspec.Struct, frozen=True):
    """One `resolvers` section (manual section 5.3.2)."""

    name: str
    nameservers: tuple[Nameserver, ...] = ()
    accepted_payload_size: int = PAYLOAD_DEFAULT
    resolve_retries: int = 3
    timeout_resolve_ms: int = 1_000
    ttl_period: TtlPeriod | None = None  # instead of `timeout_resolve_ms` between two runs
    timeout_retry_ms: int = 1_000
    holds: Holds = Holds()
    search: tuple[str, ...] = ()  # for names that are searched; "" is the root
    ndots: int = 1  # a name with fewer dots is asked for as written after the list only
    followed: Followed | None = None


class ResolvedServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One server whose address comes from a resolution.

    `slot` is its position in the segment, `port` the configured one (used with A/AAAA; an SRV
    record has its own). The others are the words of its line: `allow_dup_ip`, `ignore_weight`,
    `srv_priority`, `rfc_weight` and `all_families` of `resolve-opts` (`prevent-dup-ip` unsets the
    first), `networks` of `resolve-net` as "address/prefix length" in the order of the file, at
    most RESOLVE_NETS_MAX, and `preferred` of `resolve-prefer` for the target of an SRV record
    (NONE: the resolution's).
    """

    slot: int
    backend_index: int  # servers of one backend never share an address, unless allowed (S43)
    backend_name: str
    server_name: str
    port: int
    weight: int
    checked: bool = False
    allow_dup_ip: bool = False
    ignore_weight: bool = False
    srv_priority: bool = False  # records of any but the lowest priority number are backups
    rfc_weight: bool = False  # weight 0 means little, not nothing (RFC 2782)
    all_families: bool = False  # of its host name: of its line, ordered, or an SRV target
    networks: tuple[str, ...] = ()
    preferred: Family = Family.NONE
    backend_kind: str = "backend"  # or 'proxy' for a `listen` section, as log lines say it


NO_ROW = -1


class ResolutionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """One resolution: all servers that share section, name, preferred family and options (S8).

    `index` is its row in the segment's resolution records (NO_ROW: none). `name` is lower case,
    without the trailing dot. `servers` are in the order of the file. A name that begins with
    SERVICE_PREFIX is an SRV label (S2): then all servers that share (section, name) are one
    resolution, whatever their preference, and `preferred` holds for servers without their own.
    """

    index: int
    section: str
    name: str
    preferred: Family
    servers: tuple[ResolvedServer, ...]
    search: bool = False  # `resolve-opts search`, for a host name without a dot at its end
    all_families: bool = False  # of a host name, where both families are accepted

    @property
    def is_service(self) -> bool:
        """Whether SRV records are asked for."""
        return self.name.startswith(SERVICE_PREFIX)


class ResolverdSettings(msgspec.Struct, frozen=True):
    """All settings of resolverd: sections, resolutions and the families that may be asked for."""

    sections: tuple[ResolversSection, ...] = ()
    resolutions: tuple[ResolutionSettings, ...] = ()
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)  # dns-accept-family, resolved
    # servers with an address and `resolvers`: the settings of a name that an operator may order;
    # `index` is NO_ROW, `name` empty, `servers` this one
    addressed: tuple[ResolutionSettings, ...] = ()

    @property
    def nameserver_rows(self) -> int:
        """Rows of nameserver counters in the segment, those for later nameservers included."""
        rows = 0
        for section in self.sections:
            followed = section.followed
            fixed = [
                each for each in section.nameservers if not (followed and each.index in followed)
            ]
            rows += len(fixed) + (followed.rows if followed else 0)
        return rows


class MemberNews(NamedTuple):
    """What came and went since the last look: first `gone`, then `come`."""

    gone: list[int]  # slots
    come: list[ResolutionSettings]  # of one server each, which lends its row to the name


class ComingServers(Protocol):
    """Servers with `resolvers` that come and go at run time."""

    @property
    def seen(self) -> int:
        """The last change that `news` has told of."""

    @property
    def waiting(self) -> bool:
        """Whether there has been a change since."""

    def news(self) -> MemberNews:
        """What has changed since the last look, at first since the start."""


class StateServer(msgspec.Struct, frozen=True):
    """The configured part of a server's row in `show servers state` and in state files."""

    slot: int
    backend_id: int
    backend_name: str
    backend_id_given: bool
    id: int
    name: str
    id_given: bool
    configured: ConfiguredServer
    resolution_index: int | None
    weight: int
    check_port: int
    check_address: str | None
    tracked_slot: int | None = None  # of the server that it tracks
    addressed: bool = False  # its line has an address, and the operator may order a name
    agent_port: int = 0  # of its agent; 0: it has none
    agent_address: str | None = None


class StateNews(NamedTuple):
    """What came and went since the last look: first `gone`, then `come`."""

    gone: list[int]  # slots
    come: list[StateServer]


class StateMembers(Protocol):
    """Servers that come and go at run time, of which state files have rows."""

    def news(self) -> StateNews:
        """What has changed since the last look, at first since the start."""


class StateFile(msgspec.Struct, frozen=True):
    """A server state file that is kept up to date.

    `path` is absolute, and the file is not a link; `folder` is the descriptor of its folder, opened
    before any chroot, None if that failed.
    """

    path: str
    servers: tuple[StateServer, ...]  # by slot, which is the order of the configuration
    folder: int | None = None
    backends: frozenset[str] = frozenset()  # whose servers it has, those that are added as well


class LinkedFile(msgspec.Struct, frozen=True):
    """A file that is read again while running, through folders opened before any chroot.

    `path` is absolute; `folders` are the path and descriptor of its folder and of the folders that
    links lead to from there. `confined`: the process has changed its root, so it can open no other
    folder.
    """

    path: str
    folders: tuple[tuple[str, int], ...]
    confined: bool = False
