"""The process that forks Python programs: `python -m tests.support.forking.server <fd> <modules>`.

It imports the modules, and obeys one test process, which holds the other end of the socket. A fork
runs what an interpreter would that has just been started with these words: its descriptors, folder,
environment and limit of descriptors are those of the order, and nothing else is open in it. What
only exists since an exec is the server's: the command line that `ps` shows until the program sets
its title, and the memory, which is shared.

All forks end with this process, and it ends with the test process.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import sys
from typing import Any

from setproctitle import getproctitle

PR_SET_PDEATHSIG = 1
ORDER_BYTES_MAX = 1 << 17
DESCRIPTORS_MAX = 16
BEYOND = 200  # where descriptors wait for their places


def place_descriptors(channel: socket.socket, received: list[int], places: list[int]) -> None:
    """Put each descriptor where the order wants it, and close all others."""
    channel.close()
    waiting = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, BEYOND) for each in received]
    for each in received:
        os.close(each)
    for each, place in zip(waiting, places, strict=True):
        os.dup2(each, place)
        os.close(each)


def become(order: dict[str, Any]) -> None:
    """Make of this process what the order says, but for its descriptors."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    resource.setrlimit(resource.RLIMIT_NOFILE, tuple(order["descriptors_max"]))


def run(words: list[str]) -> None:
    """As the interpreter does with these words; SystemExit ends the process."""
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(words[0])  # noqa: PTH120 - as the interpreter makes it
        runpy.run_path(words[0], run_name="__main__")


def next_words(channel: socket.socket) -> list[str] | None:
    """Serve the test process; returns in each fork, with its words, and at the end, with None."""
    while True:
        packet, received, _, _ = socket.recv_fds(channel, ORDER_BYTES_MAX, DESCRIPTORS_MAX)
        if not packet:
            return None
        order = json.loads(packet)
        if "ended" in order:
            _, status = os.waitpid(order["ended"], 0)
            channel.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            place_descriptors(channel, received, order["places"])
            become(order)
            words: list[str] = order["words"]
            return words
        for each in received:
            os.close(each)
        channel.send(json.dumps(pid).encode())


def main() -> None:
    """Import, then serve; in a fork, run."""
    for module in sys.argv[2:]:
        importlib.import_module(module)
    getproctitle()  # it finds the place of the title beside the environment, while that is whole
    gc.collect()
    gc.freeze()
    words = next_words(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        run(words)


if __name__ == "__main__":
    main()
