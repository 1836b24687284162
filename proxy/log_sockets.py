"""The descriptors of the logs' targets, opened before any fork and any chroot.

One for each place that lines of access logs go to, shared by all workers: datagrams and short
writes do not mix. Nothing here blocks later: what a target does not take at once is refused.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress

from proxy.config.model.settings import Endpoint, LogTarget, Settings, SocketFamily
from proxy.log_thread import start_log_thread

FAMILIES = {
    SocketFamily.IPV4: socket.AF_INET,
    SocketFamily.IPV6: socket.AF_INET6,
    SocketFamily.UNIX: socket.AF_UNIX,
    SocketFamily.ABSTRACT: socket.AF_UNIX,
}


def endpoint_of(target: LogTarget) -> Endpoint:
    """Where a target's lines go; descriptors too are endpoints."""
    if target.endpoint is not None:
        return target.endpoint
    return Endpoint(SocketFamily.DESCRIPTOR, str(target.descriptor))


def open_log_sockets(settings: Settings) -> dict[Endpoint, int]:
    """A descriptor for each place that access logs go to.

    Raises OSError when descriptors run out, and for one of the configuration that is not open.
    """
    found: dict[Endpoint, int] = {}
    try:
        for proxy in settings.frontends:
            for target in proxy.access_log.targets if proxy.access_log else ():
                endpoint = endpoint_of(target)
                if endpoint not in found:
                    found[endpoint] = _open(endpoint)
    except BaseException:
        close_log_sockets(found)
        raise
    return found


def close_log_sockets(sockets: Mapping[Endpoint, int]) -> None:
    """Close them all; descriptors given from outside stay open."""
    for descriptor in sockets.values():
        os.close(descriptor)


def _open(endpoint: Endpoint) -> int:
    if endpoint.family is SocketFamily.DESCRIPTOR:
        return open_again(int(endpoint.host))
    opened = socket.socket(FAMILIES[endpoint.family], socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    opened.setblocking(False)
    # A receiver that is not there yet is connected to later; a connected one outlives a chroot.
    with suppress(OSError):
        opened.connect(socket_address(endpoint))
    return opened.detach()


def open_again(descriptor: int) -> int:
    """A descriptor for the same place to which no write blocks, however the given one is shared.

    A pipe or terminal is opened anew, a socket stays and has to be asked not to block each time. A
    file always may block, and what belongs to another user cannot be opened anew: threads write to
    these. Raises OSError when descriptors run out, and for one that is not open.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return os.dup(descriptor)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{descriptor}", flags)
    return start_log_thread(descriptor)


def socket_address(endpoint: Endpoint) -> tuple[str, int] | str:
    """An endpoint as the socket module wants it."""
    if endpoint.family is SocketFamily.ABSTRACT:
        return "\0" + endpoint.host
    if endpoint.family is SocketFamily.UNIX:
        return endpoint.host
    return endpoint.host, endpoint.port


def packed_address(endpoint: Endpoint) -> bytes:
    """The same as the kernel wants it: sockaddr_in, sockaddr_in6 or sockaddr_un."""
    family = FAMILIES[endpoint.family]
    if family is socket.AF_UNIX:
        start = b"\0" if endpoint.family is SocketFamily.ABSTRACT else b""
        end = b"" if start else b"\0"
        return struct.pack("=H", family) + start + os.fsencode(endpoint.host) + end
    port = struct.pack("=H", family) + struct.pack(">H", endpoint.port)
    address = socket.inet_pton(family, endpoint.host)
    if family is socket.AF_INET:
        return port + address + bytes(8)
    return port + bytes(4) + address + bytes(4)
