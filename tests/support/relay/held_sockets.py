"""Sockets of other processes, looked at from outside: what a program has set on them.

A socket is found by its ends and borrowed by pidfd_getfd(2), which needs the rights of a tracer.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)
Address = tuple[str, int]


def borrowed(pid: int, fd: int) -> socket.socket:
    """Another process's socket, under a number of our own; OSError for what is none."""
    handle = os.pidfd_open(pid)
    try:
        own = _LIBC.syscall(_PIDFD_GETFD, handle, fd, 0)
        if own < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(handle)
    try:
        return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise


def sockets_of_others() -> Iterator[socket.socket]:
    """Each socket that some other process of this network namespace has open."""
    own = Path("/proc/self/ns/net").readlink()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        if pid == os.getpid():
            continue
        with suppress(OSError):
            if (folder.parent / "ns/net").readlink() != own:
                continue
            for entry in list(folder.iterdir()):
                with suppress(OSError):
                    if str(entry.readlink()).startswith("socket:"):
                        with closing(borrowed(pid, int(entry.name))) as found:
                            yield found


def marks_toward(peer: Address) -> tuple[int, int, int] | None:
    """SO_MARK, IP_TOS and IPV6_TCLASS (-1: none) of the socket that leads to a peer."""
    for found in sockets_of_others():
        with suppress(OSError):
            if found.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if found.getpeername()[:2] == peer:
                six = -1
                if found.family == socket.AF_INET6:
                    six = found.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
                return (
                    found.getsockopt(socket.SOL_SOCKET, socket.SO_MARK),
                    found.getsockopt(socket.IPPROTO_IP, socket.IP_TOS),
                    six,
                )
    return None
