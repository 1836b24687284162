"""Faults at the N-th call of a relay: the test's side of the preloaded library.

Owns its compilation, its control file (tests/relay/shim/shim.c has the same fields) and the bell by
which it asks the test to act as the peer. Knows nothing of what is relayed.
"""

from __future__ import annotations

import enum
import mmap
import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, require_program

SHIM_SOURCE = Path(__file__).parents[2] / "relay" / "shim" / "shim.c"


class Kind(enum.IntEnum):
    """Which calls are counted."""

    RECV = 0
    SEND = 1
    SPLICE_IN = 2
    SPLICE_OUT = 3
    ACCEPT = 4
    CONNECT = 5
    SHUTDOWN = 6
    EPOLL_WAIT = 7
    CLOSE = 8
    PIPE = 9
    SOCKET = 10
    EPOLL_ADD = 11
    MEMORY = 12


class Action(enum.IntEnum):
    """What happens at the armed call; shim.c says what each means."""

    NONE = 0
    ERROR = 1
    ERROR_EDGE = 2
    SHORT = 3
    SHORT_EDGE = 4
    ZERO = 5
    ERROR_DONE = 6
    AT_ONCE = 7
    PEER = 8


FIELDS = (
    "kind",
    "number",
    "action",
    "error",
    "length",
    "fired",
    "serial",
    "acknowledged",
    "events_max",
    "buffer_bytes",
    "pipe_error",
    "pipe_size_error",
    "connect_error",
    "chance",
    "seed",
    "hold_files",
    "held",
)


class Shim:
    """The control file and its bell; `environ` is what the process under test is started with."""

    def __init__(self, folder: Path) -> None:
        library = folder / "shim.so"
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
        compiler = require_program("gcc")
        subprocess.run(
            [compiler, *flags, "-o", str(library), str(SHIM_SOURCE), "-ldl"],
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        path = folder / "control"
        path.write_bytes(bytes(mmap.PAGESIZE))
        os.mkfifo(f"{path}.bell")
        self.bell = os.open(f"{path}.bell", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._words = memoryview(self._memory).cast("I")
        preloaded = os.environ.get("LD_PRELOAD", "").split()  # a sanitizer has to come first
        self.environ = {
            **os.environ,
            "LD_PRELOAD": " ".join([*preloaded, str(library)]),
            "MILLRACE_SHIM": str(path),
        }

    def get(self, field_name: str) -> int:
        return self._words[FIELDS.index(field_name)]

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self._words[FIELDS.index(name)] = value

    def calls(self, kind: Kind) -> int:
        """How many calls of this kind the relay thread has made."""
        return self._words[len(FIELDS) + kind]

    def arm(self, kind: Kind, number: int, action: Action, error: int = 0, length: int = 1) -> None:
        """At the `number`-th call of this kind from now, do that."""
        self.set(number=0)
        self.set(kind=kind, action=action, error=error, length=length, fired=0)
        self.set(serial=self.get("serial") + 1)
        self.set(number=number)

    def acknowledge(self) -> None:
        """The peer has acted: the call that was held back goes on."""
        self.set(acknowledged=self.get("serial"))

    def disarm(self) -> bool:
        """No more fault; True if the armed one had happened."""
        self.set(number=0)
        self.acknowledge()
        with suppress(BlockingIOError):
            os.read(self.bell, 1_000)
        return bool(self.get("fired"))

    def close(self) -> None:
        self._words.release()
        self._memory.close()
        os.close(self.bell)
