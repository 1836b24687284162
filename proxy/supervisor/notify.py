"""Messages to the service manager: sd_notify(3) without its library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


class Notifier:
    """Sends state changes to `$NOTIFY_SOCKET`; silent where there is none (or not -Ws)."""

    def __init__(self, environment: Mapping[str, str], *, wanted: bool) -> None:
        """Remember the address; a leading @ is the abstract namespace."""
        path = environment.get("NOTIFY_SOCKET", "") if wanted else ""
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *assignments: str) -> None:
        """One datagram; a manager that does not listen is no error."""
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(assignments).encode(), self._address)

    def leave(self) -> None:
        """Another program speaks for the main process."""
        self._address = ""

    def ready(self) -> None:
        """The program serves, first or again after a reload."""
        self.send(READY, f"MAINPID={os.getpid()}", "STATUS=Ready.")

    def reloading(self) -> None:
        """A reload begins; systemd wants the time to tell it from an older READY=1."""
        microseconds = time.monotonic_ns() // 1_000
        self.send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=Reloading.")

    def stopping(self) -> None:
        """The end begins."""
        self.send(STOPPING, "STATUS=Stopping.")
