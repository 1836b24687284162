"""What else listens on an address: the sockets of a SO_REUSEPORT group, told by the kernel.

Asks over NETLINK_SOCK_DIAG, which needs no privilege.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator

import msgspec

NETLINK_SOCK_DIAG = 4  # <linux/netlink.h>
SOCK_DIAG_BY_FAMILY = 20  # <linux/sock_diag.h>
DUMP_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
NLMSG_ERROR, NLMSG_DONE = 2, 3
LISTEN = 1 << 10  # TCP_LISTEN, as a set of states
SKV6ONLY = 11  # INET_DIAG_SKV6ONLY

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST = struct.Struct("=BBBBI2s2s16s16sI8s")  # inet_diag_req_v2
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")  # inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")
RECEIVED_MAX = 1 << 18

Key = tuple[bytes, int, bool]  # address, interface, IPv6 only: with the port, a group


class Neighbour(msgspec.Struct, frozen=True):
    """One listening socket of this host."""

    inode: int
    key: Key


class Neighbours:
    """The groups on each port, as the kernel told them once, however many share the port."""

    def __init__(self) -> None:
        """Nothing has been asked."""
        self._ports: dict[tuple[int, int], dict[int, list[int]]] = {}

    def group_of(self, family: int, port: int, inode: int) -> list[int]:
        """The inodes of the group that a socket is in, in the kernel's order. Raises OSError."""
        if (family, port) not in self._ports:
            groups: dict[Key, list[int]] = {}
            by_inode = self._ports[family, port] = {}
            for neighbour in _listening(family, port):
                group = groups.setdefault(neighbour.key, [])
                group.append(neighbour.inode)
                by_inode[neighbour.inode] = group
        try:
            return self._ports[family, port][inode]
        except KeyError:
            raise OSError("the kernel does not know this socket") from None


def group_order(listeners: Iterable[socket.socket], neighbours: Neighbours) -> list[bool]:
    """The sockets of the listeners' group from the eldest to the youngest: is it one of these?

    All have to be of one group. The kernel numbers the members of a group in this order, as long
    as none leaves it. Raises OSError.
    """
    mine = {os.fstat(listener.fileno()).st_ino: listener for listener in listeners}
    inode, one = next(iter(mine.items()))
    group = neighbours.group_of(one.family, one.getsockname()[1], inode)
    order = [member in mine for member in group]
    if sum(order) != len(mine):
        raise OSError("these sockets are no group")
    # New members come first into the chain that is listed here, of IPv6 last.
    return order if one.family == socket.AF_INET6 else order[::-1]


def _listening(family: int, port: int) -> Iterator[Neighbour]:
    """What listens on a TCP port, in the kernel's order."""
    request = _REQUEST.pack(
        family, socket.IPPROTO_TCP, 0, 0, LISTEN, port.to_bytes(2, "big"), *(b"",) * 3, 0, b""
    )
    header = _HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, DUMP_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(0)  # the kernel answers within the call
        kernel.send(header + request)
        while True:
            received = kernel.recv(RECEIVED_MAX)
            while received:
                length, kind, *_ = _HEADER.unpack_from(received)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError("the kernel does not tell its sockets")
                yield _parse(received[_HEADER.size : length])
                received = received[(length + 3) & ~3 :]


def _parse(message: bytes) -> Neighbour:
    fields = _MESSAGE.unpack_from(message)
    address, interface, inode = fields[6], fields[8], fields[14]
    v6only = False
    rest = message[_MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if kind == SKV6ONLY:
            v6only = bool(rest[_ATTRIBUTE.size])
        rest = rest[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]
    return Neighbour(inode, (address, interface, v6only))
