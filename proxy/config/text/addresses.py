"""Addresses in the manual's forms: prefix, host, port (section 11 of the manual).

Owns the forms; each line accepts some of them. Only `resolve` and `single_endpoint` resolve a host
name.

    [udp@|tcp@][ipv4@|ipv6@]<host>[:<port>[-<end>]|:+<n>|:-<n>]   /path  unix@path  abns@name  fd@3

The last colon separates the port. An IPv6 address without port needs brackets, unless the part
before its last colon is no address: `::1:53` is port 53 of `::1`, but `fd00::53` is an address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.config.text.context import ResolveHost
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_number
from resolverd.config import Family

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]*)\}?|([A-Za-z0-9_]*))")
PORT_MAX = 65_535
ABSTRACT_NAME_MAX = 107  # bytes: sun_path without its first NUL
UNIX_PATH_MAX = 97  # leaves room for the suffix while it is bound; HAProxy's limit too
DESCRIPTOR_MAX = 1 << 20

_LOCAL_PREFIXES = {
    "unix": SocketFamily.UNIX,
    "abns": SocketFamily.ABSTRACT,
    "fd": SocketFamily.DESCRIPTOR,
}
_FAMILY_PREFIXES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
_UNSUPPORTED_PREFIXES = frozenset(
    {"sockpair", "quic4", "quic6", "rhttp", "rev", "ring", "uxdg", "uxst", "mptcp", "abnsz"}
)


class WrittenAddress(msgspec.Struct, frozen=True):
    """One address: a local socket (`local`), or a host with the text of its port.

    `number` is the host in numeric form, None for a host name.
    """

    text: str
    local: SocketFamily | None = None
    host: str = ""
    number: str | None = None
    family: Family = Family.NONE
    transport: str = ""  # `udp`, `tcp` or nothing
    port_text: str = ""

    @property
    def wildcard(self) -> bool:
        """True for `*`, an empty host, 0.0.0.0 and ::."""
        return self.number in ("0.0.0.0", "::")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The address with `$NAME` and `${NAME}` replaced; a variable that is not set is empty.

    In other words variables need quotes; HAProxy expands them in addresses without.
    """
    expanded = what_is_left(text, environment)
    if text and not expanded:
        named = (match[1] or match[2] or "" for match in _VARIABLE.finditer(text))
        names = " and ".join(f"'{name}'" for name in dict.fromkeys(named))
        raise ConfigError(f"'{text}' leaves no address: environment variable {names} has no value")
    return expanded


def what_is_left(text: str, environment: Mapping[str, str]) -> str:
    """The same, which may be nothing."""
    return _VARIABLE.sub(lambda match: environment.get(match[1] or match[2] or "", ""), text)


def unset_names(text: str, environment: Mapping[str, str]) -> list[str]:
    """The variables of an address that are not set, in their order."""
    names = (match[1] or match[2] or "" for match in _VARIABLE.finditer(text))
    return list(dict.fromkeys(name for name in names if name not in environment))


def parse_address(text: str, environment: Mapping[str, str]) -> WrittenAddress:
    """Split an address; ConfigError for an unknown form."""
    rest = text = expand(text, environment)
    family = Family.NONE
    transport = ""
    while "@" in rest:
        prefix, _, behind = rest.partition("@")
        if prefix in _LOCAL_PREFIXES:
            return _local(text, _LOCAL_PREFIXES[prefix], behind)
        if prefix in _UNSUPPORTED_PREFIXES:
            raise ConfigError(f"addresses of the form '{prefix}@' are not supported: '{text}'")
        match = re.fullmatch(r"(udp|tcp)([46]?)", prefix)
        if prefix in _FAMILY_PREFIXES:
            family = _FAMILY_PREFIXES[prefix]
        elif match:
            transport = match[1]
            family = Family(int(match[2])) if match[2] else family
        else:
            raise ConfigError(f"invalid address '{text}': unknown prefix '{prefix}@'")
        rest = behind
    if rest.startswith("/"):
        return _local(text, SocketFamily.UNIX, rest)
    host, port_text = _split_port(rest, text)
    number = parse_number_of_host(host, family)
    if number is None:
        return WrittenAddress(text, None, host, None, family, transport, port_text)
    written = Family.IPV6 if ":" in number else Family.IPV4
    if family not in (Family.NONE, written):
        raise ConfigError(f"'{host}' in '{text}' is no {family.name} address")
    return WrittenAddress(text, None, host, number, written, transport, port_text)


def parse_number_of_host(host: str, family: Family = Family.NONE) -> str | None:
    """The canonical numeric form of a host, None for a name; `*` and "" are the wildcard."""
    if host in ("", "*"):
        return "::" if family is Family.IPV6 else "0.0.0.0"
    with suppress(OSError, ValueError):
        socket.inet_pton(socket.AF_INET, host)
        return host  # has one form only
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _is_number(host: str) -> bool:
    return bool(host) and parse_number_of_host(host) is not None


def _local(text: str, kind: SocketFamily, name: str) -> WrittenAddress:
    if kind is SocketFamily.DESCRIPTOR:
        try:
            parse_number(name, 0, DESCRIPTOR_MAX)
        except ConfigError as error:
            raise ConfigError(f"descriptor of '{text}' {error}") from error
    elif not name:
        raise ConfigError(f"'{text}' names no socket")
    elif kind is SocketFamily.UNIX:
        check_path(name)
    else:
        _check_length(name, ABSTRACT_NAME_MAX)
    return WrittenAddress(text, kind, name)


def check_path(path: str) -> str:
    """The path of a Unix socket, unchanged; ConfigError if it is too long."""
    _check_length(path, UNIX_PATH_MAX)
    return path


def _check_length(name: str, longest: int) -> None:
    if len(name.encode(errors="surrogateescape")) > longest:
        raise ConfigError(f"socket name '{name}' is too long (at most {longest} bytes)")


def _split_port(rest: str, text: str) -> tuple[str, str]:
    """Host without brackets, and the text of the port."""
    if rest.startswith("["):
        host, bracket, behind = rest[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise ConfigError(f"invalid address '{text}': brackets do not match")
        return host, behind[1:]
    host, colon, port_text = rest.rpartition(":")
    if not colon or (":" in host and _is_number(rest) and not _is_number(host)):
        return rest, ""
    return host, port_text


def parse_port(text: str, address: str) -> int:
    """A port within 0..65535."""
    if not re.fullmatch(r"[0-9]+", text):
        raise ConfigError(f"invalid port '{text}' in '{address}'")
    try:
        return parse_number(text, 0, PORT_MAX)
    except ConfigError:
        raise ConfigError(f"invalid port '{text}' in '{address}' (at most {PORT_MAX})") from None


def parse_port_range(text: str, address: str) -> range:
    """The ports of `80` or `1000-1009`; none may be 0."""
    if not text:
        raise ConfigError(f"missing port in '{address}'")
    low_text, dash, high_text = text.partition("-")
    low = parse_port(low_text, address)
    high = parse_port(high_text, address) if dash else low
    if low == 0 or high < low:
        raise ConfigError(f"invalid port range '{text}' in '{address}'")
    return range(low, high + 1)


def resolve(address: WrittenAddress, resolve_host: ResolveHost) -> tuple[SocketFamily, str]:
    """Family and numeric host of an IP address; a name is resolved with `resolve_host`."""
    number = address.number
    if number is None:
        found = resolve_host(address.host, address.family)
        number = None if found is None else parse_number_of_host(found)
        if number is None:
            raise ConfigError(f"cannot resolve host name '{address.host}' of '{address.text}'")
    return (SocketFamily.IPV6 if ":" in number else SocketFamily.IPV4), number


def single_endpoint(
    address: WrittenAddress, resolve_host: ResolveHost, default_port: int = 0
) -> Endpoint:
    """The endpoint of an address; ConfigError for a range or a missing port."""
    if address.local is not None:
        return Endpoint(address.local, address.host)
    if address.port_text:
        ports = parse_port_range(address.port_text, address.text)
        if len(ports) > 1:
            raise ConfigError(f"port range not permitted in '{address.text}'")
        port = ports[0]
    elif default_port:
        port = default_port
    else:
        raise ConfigError(f"missing port in '{address.text}'")
    family, host = resolve(address, resolve_host)
    return Endpoint(family, host, port)
