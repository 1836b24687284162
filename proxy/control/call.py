"""A call: a stream that the master CLI hands to control, with a target, a level and modes.

All calls pass through one pair of sockets of the program, as the other end of a fresh pair each.
They wait there, as clients wait in the queue of a stats socket, for the control that takes them
next: a call made while control is replaced, or gives way at a reload, is late and not lost. The
first line of a stream is the call, the second, by the other side, is what was found.

    master                                    control
      {"pid":0,"level":2,...} \n          -->
                                          <--  1271 \n     (empty: no process has this pid)
      one line of commands, payload       -->
                                          <--  the answer, and the end
"""

from __future__ import annotations

import errno
import socket

import msgspec

CALL_BYTES_MAX = 4_096  # of the line of a call, with much air
RUNNING = 0  # instead of a pid: the generation that serves


class MasterCall(msgspec.Struct, frozen=True):
    """Whom a conversation is with, and what it may do."""

    pid: int  # of any process of a generation, or RUNNING
    level: int
    modes: tuple[str, ...] = ()
    client: str = ""  # its name for the list of events


def make_pair() -> tuple[socket.socket, socket.socket]:
    """The ends of the master and of control, non-blocking; raises OSError."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
    return pair


def hand_over(calls: socket.socket, stream: socket.socket) -> None:
    """Queue a stream; raises BlockingIOError when too many wait, or another OSError."""
    socket.send_fds(calls, [b"\0"], [stream.fileno()])


def take_stream(calls: socket.socket) -> socket.socket:
    """The next stream; raises BlockingIOError when none waits, or another OSError."""
    _, descriptors, _, _ = socket.recv_fds(calls, 1, 1)
    if not descriptors:
        raise OSError(errno.ECONNABORTED, "a call without a stream")  # no descriptor was left
    return socket.socket(fileno=descriptors[0])


def encode(call: MasterCall) -> bytes:
    """The line of a call."""
    return msgspec.json.encode(call) + b"\n"


def decode(line: bytes) -> MasterCall:
    """A call from its line; raises msgspec.DecodeError."""
    return msgspec.json.decode(line, type=MasterCall)
