"""What else listens on an address: the sockets of a SO_REUSEPORT group, told by the kernel."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from proxy.kernel.listening import Key, listening


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
            for neighbour in listening(family, port):
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
