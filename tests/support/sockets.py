"""Sockets of other processes, looked at through copies of their descriptors (root only)."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PIDFD_GETFD = 438  # <asm/unistd.h>, the same number everywhere

OPTIONS = {
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "tcp-ut": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    "defer-accept": (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    "mss": (socket.IPPROTO_TCP, socket.TCP_MAXSEG),
    "transparent": (socket.SOL_IP, socket.IP_TRANSPARENT),
}


def require_root() -> None:
    """Skip a test that looks into other processes, or sets what only root may."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def family_of(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found += map(int, children.split())
    return found


def _sockets_of(libc: ctypes.CDLL, pid: int) -> list[socket.socket]:
    copies = []
    handle = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if entry.readlink().name.startswith("socket:"):
                    copy = libc.syscall(PIDFD_GETFD, handle, int(entry.name), 0)
                    if copy >= 0:
                        copies.append(socket.socket(fileno=copy))
    finally:
        os.close(handle)
    return copies


@contextmanager
def copied_sockets(pid: int) -> Iterator[list[socket.socket]]:
    """Copies of all sockets of a process and its descendants; one socket may come several times."""
    libc = ctypes.CDLL(None, use_errno=True)
    copies: list[socket.socket] = []
    try:
        for member in family_of(pid):
            with suppress(OSError):
                copies += _sockets_of(libc, member)
        yield copies
    finally:
        for each in copies:
            each.close()


def option(subject: socket.socket, name: str) -> int:
    """One of OPTIONS as a number."""
    return subject.getsockopt(*OPTIONS[name])


def interface(subject: socket.socket) -> str:
    """The interface that a socket is bound to; nothing: any."""
    return subject.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()


def listening(copies: list[socket.socket], address: tuple[str, int]) -> socket.socket:
    """The socket that listens on an address."""
    return next(
        copy
        for copy in copies
        if copy.family == socket.AF_INET
        and copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and copy.getsockname() == address
    )


def connected(copies: list[socket.socket], peer: tuple[str, int]) -> socket.socket:
    """The socket that is connected to `peer`."""
    for copy in copies:
        with suppress(OSError):
            if copy.family == socket.AF_INET and copy.getpeername() == peer:
                return copy
    raise AssertionError(f"nobody is connected to {peer}")
