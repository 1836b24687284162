"""TCP sockets of this host that listen, with their queues, as the kernel tells them.

Asks over NETLINK_SOCK_DIAG (sock_diag(7)), which needs no privilege and no descriptor of theirs.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

NETLINK_SOCK_DIAG = 4  # <linux/netlink.h>
SOCK_DIAG_BY_FAMILY = 20  # <linux/sock_diag.h>
DUMP_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
NLMSG_ERROR, NLMSG_DONE = 2, 3
LISTEN = 1 << 10  # TCP_LISTEN, as a set of states
SKV6ONLY = 11  # INET_DIAG_SKV6ONLY
ANY_PORT = 0

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST = struct.Struct("=BBBBI2s2s16s16sI8s")  # inet_diag_req_v2
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")  # inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")
RECEIVED_MAX = 1 << 18

Key: TypeAlias = tuple[bytes, int, bool]  # address, interface, IPv6 only: with the port, a group


class Listening(msgspec.Struct, frozen=True):
    """One listening socket of this host."""

    inode: int
    family: int
    port: int
    key: Key
    waiting: int  # clients that are not accepted yet
    limit: int  # how many may be

    @property
    def host(self) -> str:
        """Its address, in its shortest form."""
        size = 4 if self.family == socket.AF_INET else 16
        return str(ipaddress.ip_address(self.key[0][:size]))


def listening(family: int, port: int = ANY_PORT) -> Iterator[Listening]:
    """What listens on a TCP port or on any, in the kernel's order. Raises OSError."""
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


def _parse(message: bytes) -> Listening:
    fields = _MESSAGE.unpack_from(message)
    v6only = False
    rest = message[_MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if kind == SKV6ONLY:
            v6only = bool(rest[_ATTRIBUTE.size])
        rest = rest[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]
    return Listening(
        inode=fields[14],
        family=fields[0],
        port=int.from_bytes(fields[4], "big"),
        key=(fields[6], fields[8], v6only),
        waiting=fields[11],
        limit=fields[12],
    )
