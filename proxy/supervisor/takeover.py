"""`-x`: the listening sockets of the program before this one, asked of its stats socket.

Clients that wait in the queues of these sockets are not lost when the older program closes them,
because they stay open here. All come that it listens on; those that the files want are taken, by
address, interface and family, and the others are closed. What the files want and did not come is
opened as usual, more members of a SO_REUSEPORT group as well.

A socket for operators is never taken: the older program answers on its own to its end. Nothing of
what was sent is believed that the kernel says itself.
"""

from __future__ import annotations

import array
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from proxy.config.model.settings import SocketFamily
from proxy.kernel.local_connect import connect_within, limit_calls
from proxy.kernel.socket_messages import (
    COMMAND,
    COUNT,
    DESCRIBED_BYTES_MAX,
    DESCRIPTORS_MAX,
    MessageError,
    read_namespaces,
)
from proxy.runtime import now_ms
from proxy.supervisor.binding import (
    FAMILIES,
    INTERNET,
    IPV6_TRANSPARENT,
    path_identity,
)
from proxy.supervisor.limits import TAKEN_SOCKETS_MAX, TAKEOVER_LIMIT_MS, TAKEOVER_WAIT_MS
from proxy.supervisor.listening import Held, OpenSocket, Want

NOTHING = "/dev/null"  # a service file may name it where there is no older program
BATCH_BYTES_MAX = DESCRIPTORS_MAX * DESCRIBED_BYTES_MAX
ANCILLARY_BYTES = socket.CMSG_SPACE((DESCRIPTORS_MAX + 1) * array.array("i").itemsize)
INTERFACE_BYTES = 16  # IFNAMSIZ
ANY_IPV6 = bytes(16)  # elsewhere the kernel makes each socket one for IPv6 only
# HAProxy binds a path beside its own, and renames it; the kernel knows the former name.
BOUND_BESIDE = re.compile(r"\.[0-9]+\.tmp\Z")
# Family, address or name, port, IPv6 only, interface, transparent: what has to be the same.
Traits: TypeAlias = tuple[SocketFamily, bytes, int, bool, str, bool]


class TakeoverError(Exception):
    """The older program gave no sockets; the text says why."""


class Offered(msgspec.Struct, frozen=True):
    """A socket that came, and the network namespace that its sender says it is of."""

    socket: socket.socket
    namespace: str


def take_over(path: str, wants: Iterable[Want]) -> Held:
    """The sockets of the program whose stats socket is `path` that are wanted here.

    Raises TakeoverError; then none is open.
    """
    if path == NOTHING:
        return {}
    opened: list[socket.socket] = []
    held: Held = {}
    try:
        held = _choose(_ask(path, opened), wants)
    finally:
        kept = {id(item.socket) for items in held.values() for item in items}
        for each in opened:
            if id(each) not in kept:
                each.close()
    return held


def _choose(offered: Iterable[Offered], wants: Iterable[Want]) -> Held:
    """What is wanted for clients of what came, ready to be members of a group."""
    rest: dict[Traits, list[socket.socket]] = {}
    for item in offered:
        traits = None if item.namespace else traits_of(item.socket)
        if traits is not None:
            rest.setdefault(traits, []).append(item.socket)
    held: Held = {}
    for want in wants:
        endpoint, serves = want.endpoint, want.bind or want.service_frontend is not None
        identity = path_identity(endpoint)
        if not serves or (endpoint.family is SocketFamily.UNIX and identity is None):
            continue
        for found in rest.pop(_wanted_traits(want), ()):
            found.setblocking(False)
            if endpoint.family in INTERNET:  # HAProxy's `noreuseport`
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.setdefault(want.key, []).append(OpenSocket(found, endpoint, identity))
    return held


def _wanted_traits(want: Want) -> Traits:
    endpoint, options = want.endpoint, want.options
    if endpoint.family not in INTERNET:
        return endpoint.family, endpoint.local_name.rstrip(b"\0"), 0, False, "", False
    host = ipaddress.ip_address(endpoint.host).packed
    v6only = False
    if host == ANY_IPV6:
        v6only = _usual_v6only() if options.v6only is None else options.v6only
    interface = options.interface or ""
    return endpoint.family, host, endpoint.port, v6only, interface, options.transparent


def _usual_v6only() -> bool:
    """As the host is set up (net.ipv6.bindv6only)."""
    with socket.socket(socket.AF_INET6) as plain:
        return bool(plain.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def traits_of(listener: socket.socket) -> Traits | None:
    """What the kernel says of a socket; None if it is none that serves clients over a stream."""
    families = {number: family for family, number in FAMILIES.items()}
    family = families.get(socket.AddressFamily(listener.family))
    if family is None or listener.type != socket.SOCK_STREAM:
        return None
    name = listener.getsockname()
    if family not in INTERNET:
        if isinstance(name, bytes):
            return SocketFamily.ABSTRACT, name.rstrip(b"\0"), 0, False, "", False
        path = BOUND_BESIDE.sub("", name).encode("utf-8", "surrogateescape")
        return SocketFamily.UNIX, path, 0, False, "", False
    interface = listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE_BYTES)
    host = ipaddress.ip_address(name[0].partition("%")[0]).packed
    v6only = foreign = False
    if family is SocketFamily.IPV6:
        only = bool(listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        v6only = only and host == ANY_IPV6
        foreign = bool(listener.getsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT))
    foreign = foreign or bool(listener.getsockopt(socket.SOL_IP, socket.IP_TRANSPARENT))
    return family, host, name[1], v6only, interface.rstrip(b"\0").decode(), foreign


# -- the conversation ------------------------------------------------------------------------------


def _ask(path: str, opened: list[socket.socket]) -> list[Offered]:
    """Every socket that the older program listens on; each that comes is added to `opened`."""
    seconds = TAKEOVER_WAIT_MS / 1_000
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        try:
            connect_within(old, path, seconds)
            limit_calls(old, seconds)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise TakeoverError(f"cannot connect to '{path}' ({reason or error})") from error
        try:
            old.sendall(f"{COMMAND}\n".encode())
            return _receive(old, opened)
        except BlockingIOError:
            told = f"'{path}' has said nothing for {TAKEOVER_WAIT_MS} ms"
            raise TakeoverError(told) from None
        except (OSError, MessageError) as error:
            raise TakeoverError(f"'{path}' gives none: {error}") from error


def _receive(old: socket.socket, opened: list[socket.socket]) -> list[Offered]:
    deadline_ms = now_ms() + TAKEOVER_LIMIT_MS
    counted = old.recv(COUNT.size, socket.MSG_WAITALL)
    if not counted:
        raise MessageError("the 'stats socket' line needs 'expose-fd listeners'")
    count = COUNT.unpack(counted)[0] if len(counted) == COUNT.size else -1
    if not 0 <= count <= TAKEN_SOCKETS_MAX:
        raise MessageError("it does not say how many there are")
    offered: list[Offered] = []
    came = 0
    while came < count:
        if now_ms() >= deadline_ms:
            raise MessageError(f"{came} of {count} came in {TAKEOVER_LIMIT_MS} ms")
        batch, descriptors = _receive_batch(old, opened)
        came += descriptors
        offered += batch
        if came > count:
            raise MessageError(f"it said {count}, and more came")
        with suppress(OSError):  # HAProxy leaves when the last are here
            old.sendall(COUNT.pack(descriptors))
    return offered


def _receive_batch(old: socket.socket, opened: list[socket.socket]) -> tuple[list[Offered], int]:
    """The sockets of one message, and how many descriptors came: some may be no sockets."""
    content = b""
    came: list[socket.socket | None] = []
    while True:
        received, ancillary, flags, _ = old.recvmsg(
            BATCH_BYTES_MAX - len(content), ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                more = [_socket_of(descriptor) for descriptor in _descriptors(data)]
                opened += [item for item in more if item is not None]
                came += more
        if flags & socket.MSG_CTRUNC:
            raise MessageError("they are more than may be open here (ulimit -n)")
        if not received or not came:
            raise MessageError("fewer came than it said")
        content += received
        namespaces = read_namespaces(content, len(came))
        if namespaces is not None:
            break
    pairs = zip(came, namespaces, strict=True)
    return [Offered(item, namespace) for item, namespace in pairs if item is not None], len(came)


def _descriptors(data: bytes) -> array.array[int]:
    numbers = array.array("i")
    numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return numbers


def _socket_of(descriptor: int) -> socket.socket | None:
    """It as a socket; None for another file, which is closed."""
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
