"""Where the hosts of relays come from: forks of one process that has imported what they need.

A fresh interpreter takes some 0.4 s of a core until it can serve a relay, a fork a few milliseconds.
Each test process has one such process, started with its first host; it dies with the test process,
and every host with it.

Run as `python -m tests.support.relay.forker <fd>`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
PR_SET_PDEATHSIG = 1
ORDER = struct.Struct("<QQ")  # the limit of descriptors that the host has: soft, hard
ANSWER = struct.Struct("<i")  # the host's process


class ForkedHost:
    """A host that was forked; it ends when the other end of its channel is closed."""

    def __init__(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; raises TimeoutError."""
        ended, _, _ = select.select([self._pidfd], [], [], seconds)
        if not ended:
            raise TimeoutError("the host of the relays does not end")
        os.close(self._pidfd)


class Forker:
    """The process that forks hosts, as the test process sees it."""

    def __init__(self) -> None:
        self.channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE_SECONDS)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.relay.forker", str(far.fileno())],
            cwd=ROOT,
            pass_fds=[far.fileno()],
        )
        far.close()

    def fork(self, channel: socket.socket) -> ForkedHost:
        """A host that obeys what comes from this socket, with the limits of the caller."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        socket.send_fds(self.channel, [ORDER.pack(*limits)], [channel.fileno()])
        (pid,) = ANSWER.unpack(self.channel.recv(ANSWER.size))
        return ForkedHost(pid)


_forkers: list[Forker] = []


def fork_host(channel: socket.socket) -> ForkedHost:
    """A host from this test process's forker, which is started when there is none."""
    if not _forkers or _forkers[0].process.poll() is not None:
        _forkers[:] = [Forker()]
    return _forkers[0].fork(channel)


def serve_orders(channel: socket.socket) -> None:
    """Fork a host for each descriptor that comes, until the test process is gone."""
    from tests.support.relay.host import serve

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a host ended
    gc.freeze()
    while True:
        order, descriptors, _, _ = socket.recv_fds(channel, ORDER.size, 1)
        if not order:
            return
        (host_end,) = descriptors
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_NOFILE, ORDER.unpack(order))
            channel.close()
            status = 70
            try:
                serve(socket.socket(fileno=host_end))
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(host_end)
        channel.send(ANSWER.pack(pid))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    serve_orders(socket.socket(fileno=int(sys.argv[1])))
