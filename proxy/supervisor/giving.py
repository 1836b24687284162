"""Listening sockets that another program has got from control, and may serve from now on.

They are closed here and nothing more: to end listening on them would end it for that program, too.
For the clients of the other sockets of a group they are members that stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from proxy.runtime import Runtime
from proxy.supervisor.departure import Closing
from proxy.supervisor.listening import OpenSocket


class Given:
    """Whether control, of whichever generation, has given the sockets that it may give."""

    def __init__(self) -> None:
        """None were; raises OSError when descriptors run out."""
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._were = False

    def closing(self, items: Iterable[OpenSocket], runtime: Runtime) -> Closing:
        """The closing of some sockets of a generation, which lets no client in from now on."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
            self._were = True
        exposed = {id(each.socket) for each in runtime.exposed} if self._were else set()
        leaving = list(items)
        return Closing(
            (item for item in leaving if id(item.socket) not in exposed),
            given=[item for item in leaving if id(item.socket) in exposed],
        )


def sockets_of_clients(runtime: Runtime, held: Iterable[list[OpenSocket]]) -> list[OpenSocket]:
    """Those that a soft stop of the program closes; the others are control's to the end."""
    clients = {id(listener.socket) for listener in runtime.listeners}
    return [item for items in held for item in items if id(item.socket) in clients]
