"""What every line may need beside its words: messages, environment, and the host's answers.

Owns nothing that is read from a file. Everything that asks the host is a callable that a test can
replace; reading a configuration changes nothing outside this object.
"""

from __future__ import annotations

import grp
import pwd
import socket
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from proxy.config.text.messages import ConfigError, Messages
from resolverd.config import Family

ResolveHost = Callable[[str, Family], str | None]
RESOLV_CONF = "/etc/resolv.conf"

_SOCKET_FAMILIES = {
    Family.NONE: socket.AF_UNSPEC,
    Family.IPV4: socket.AF_INET,
    Family.IPV6: socket.AF_INET6,
}


@dataclass(frozen=True, slots=True)
class UnixBind:
    """`unix-bind`: what the sockets of the lines after it have unless they say otherwise."""

    prefix: str = ""
    mode: int | None = None
    user: int | None = None  # uid
    group: int | None = None  # gid


@dataclass(slots=True)
class Context:
    """One load: what it may ask, and the messages it collects."""

    messages: Messages
    environment: MutableMapping[str, str]
    resolve_host: ResolveHost
    has_ipv6_route: Callable[[], bool]
    resolv_conf: str = RESOLV_CONF
    unix_bind: UnixBind = UnixBind()  # as the lines so far say


def resolve_with_libc(name: str, family: Family) -> str | None:
    """The first address that libc gives for a host name, None if there is none; may block."""
    try:
        found = socket.getaddrinfo(name, None, _SOCKET_FAMILIES[family], socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0]) if found else None


def has_ipv6_route() -> bool:
    """Whether the host has a route to the IPv6 Internet; asks the kernel, sends no packet (S6)."""
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
