"""Sockets of this network as the files of proc(5) tell them, by the number of their inode.

Reads /proc/net/{tcp,tcp6,udp,udp6,unix} line by line, as often as it is asked: a caller that has
other things to do stops in between. A file that is not there (a chroot, no IPv6) says nothing.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

from proxy.kernel.refusals import PROC

TCP_STATES = (  # <net/tcp_states.h>, from 1
    *("ESTABLISHED", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE"),
    *("CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING", "NEW-SYN-RECV"),
)
LISTEN = "LISTEN"
UNIX_LISTENS = 1 << 16  # __SO_ACCEPTCON of the flags
UNIX_STATES = {1: "UNCONNECTED", 2: "CONNECTING", 3: "ESTABLISHED", 4: "DISCONNECTING"}
INTERNET = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}  # by file
WORD_DIGITS = 8
MAPPED = bytes(10) + b"\xff\xff"  # of an IPv4 address, seen by a socket of both families
NOBODY = ""


class KernelSocket(NamedTuple):
    """One socket; addresses as `127.0.0.1:80` and `[::1]:80`, of a Unix socket its path."""

    inode: int
    kind: str  # tcp, udp or unix
    state: str
    local: str
    remote: str  # empty: none
    received: int  # bytes that were not read yet; of one that listens: clients in its queue
    unsent: int  # bytes that were not acknowledged yet


def _address(text: str) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`: words of the host's byte order."""
    host, port = text[:-5], int(text[-4:], 16)
    if len(host) == WORD_DIGITS:
        return f"{socket.inet_ntop(socket.AF_INET, _word(host))}:{port}"
    words = [_word(host[at : at + WORD_DIGITS]) for at in range(0, len(host), WORD_DIGITS)]
    packed = b"".join(words)
    if packed.startswith(MAPPED):
        return f"{socket.inet_ntop(socket.AF_INET, words[-1])}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{port}"


def _word(digits: str) -> bytes:
    return int(digits, 16).to_bytes(4, sys.byteorder)


def _internet_socket(kind: str, line: str) -> KernelSocket:
    fields = line.split()
    unsent, _, received = fields[4].partition(":")
    state = TCP_STATES[int(fields[3], 16) - 1]
    return KernelSocket(
        inode=int(fields[9]),
        kind=kind,
        state="" if kind == "udp" else state,
        local=_address(fields[1]),
        remote=NOBODY if fields[2].endswith(":0000") else _address(fields[2]),
        received=int(received, 16),
        unsent=int(unsent, 16),
    )


def _unix_socket(line: str) -> KernelSocket:
    fields = line.split(maxsplit=7)
    listens = int(fields[3], 16) & UNIX_LISTENS
    state = LISTEN if listens else UNIX_STATES.get(int(fields[5], 16), "FREE")
    path = fields[7].rstrip("\n") if len(fields) > 7 else NOBODY
    return KernelSocket(int(fields[6]), "unix", state, path, NOBODY, 0, 0)


def open_sockets(wanted: frozenset[int]) -> Iterator[KernelSocket | None]:
    """Those of these inodes; None for each other line that was read."""
    for name in (*INTERNET, "unix"):
        place = 6 if name == "unix" else 9
        try:
            with (PROC / "net" / name).open(errors="surrogateescape") as lines:
                next(lines, None)
                for line in lines:
                    if int(line.split(maxsplit=place + 1)[place]) not in wanted:
                        yield None
                    elif name == "unix":
                        yield _unix_socket(line)
                    else:
                        yield _internet_socket(INTERNET[name], line)
        except OSError:
            continue
