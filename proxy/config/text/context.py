"""The context of every line: messages, environment, and the look-ups in the host.

Owns the state of one load that is not in a section. Each look-up in the host is a callable that a
test can replace; reading a configuration changes nothing outside this object.
"""

from __future__ import annotations

import grp
import pwd
import socket
from collections.abc import Callable, MutableMapping

import msgspec

from proxy.config.model.tls import PemFile
from proxy.config.text.messages import ConfigError, Messages
from resolverd.config import Family

ResolveHost = Callable[[str, Family], str | None]
RESOLV_CONF = "/etc/resolv.conf"

_SOCKET_FAMILIES = {
    Family.NONE: socket.AF_UNSPEC,
    Family.IPV4: socket.AF_INET,
    Family.IPV6: socket.AF_INET6,
}


class UnixBind(msgspec.Struct, frozen=True):
    """`unix-bind`: the defaults for Unix sockets of later lines."""

    prefix: str = ""
    mode: int | None = None
    user: int | None = None  # uid
    group: int | None = None  # gid


class Context(msgspec.Struct):
    """The look-ups, messages and variables of one load."""

    messages: Messages
    environment: MutableMapping[str, str]
    resolve_host: ResolveHost
    has_ipv6_route: Callable[[], bool]
    resolv_conf: str = RESOLV_CONF
    unix_bind: UnixBind = UnixBind()  # of the lines so far
    default_path: str = ""  # `config`, `parent` or `origin <folder>`; empty: the working directory
    bases: dict[str, str] = msgspec.field(default_factory=dict)  # `ca-base`, `crt-base`, by word
    authorities: dict[str, PemFile] = msgspec.field(default_factory=dict)  # read so far, by path


def resolve_with_libc(name: str, family: Family) -> str | None:
    """The first address of a host name by getaddrinfo(), None without one; may block."""
    try:
        found = socket.getaddrinfo(name, None, _SOCKET_FAMILIES[family], socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0]) if found else None


def has_ipv6_route() -> bool:
    """Whether the host has a route to the IPv6 Internet, by a connect() without a packet (S6)."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.connect(("2001::", 53))
    except OSError:
        return False
    return True


def find_user(name: str) -> int:
    """User id of a user name; ConfigError if there is none."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise ConfigError(f"cannot find user id for '{name}': no such user") from None


def find_group(name: str) -> int:
    """Group id of a group name; ConfigError if there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise ConfigError(f"cannot find group id for '{name}': no such group") from None
