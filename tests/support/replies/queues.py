"""How much a socket has received that its program has not taken yet (sock_diag(7))."""

from __future__ import annotations

import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
REQUEST = struct.Struct("=BBBBI")  # struct inet_diag_req_v2, without the socket's id
SOCKET_ID = struct.Struct("!HH16s16s")  # ports and addresses of struct inet_diag_sockid
SOCKET_ID_REST = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # any interface, any cookie
UNREAD_AT = HEADER.size + 4 + SOCKET_ID.size + len(SOCKET_ID_REST) + 4  # behind idiag_expires
ALL_STATES = 0xFFFFFFFF
Address = tuple[str, int]


class ReceiveQueues:
    """Asks the kernel about one socket at a time."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)

    def close(self) -> None:
        """Ask no more."""
        self._netlink.close()

    def unread(self, own: Address, other: Address) -> int:
        """Bytes that wait in the IPv4 socket with these ends; 0 where there is none."""
        (own_host, own_port), (other_host, other_port) = own, other
        ends = socket.inet_aton(own_host), socket.inet_aton(other_host)
        body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ALL_STATES)
        body += SOCKET_ID.pack(own_port, other_port, *ends) + SOCKET_ID_REST
        head = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
        self._netlink.send(head + body)
        answer = self._netlink.recv(4_096)
        if HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
            return 0  # an error: there is no such socket
        return int(struct.unpack_from("=I", answer, UNREAD_AT)[0])
