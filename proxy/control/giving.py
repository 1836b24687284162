"""`_getsocks` on a stats socket: the listening sockets for a program that takes over (`-x`).

One of each address is given: clients in the queues of the others are served here, when this program
finishes. The supervisor must not end listening on what was given; it learns of that by the eventfd
`given`, and never hears what the client has said.
"""

from __future__ import annotations

import asyncio
import os
import socket

from proxy.control.limits import GIVING_LOOK_SECONDS
from proxy.kernel.socket_messages import COUNT, DESCRIPTORS_MAX, describe_sockets
from proxy.runtime import ListeningSocket, Runtime
from shm.log_level import LogLevel

REFUSED = (
    "a client of a stats socket asked for the listening sockets and got none: "
    "its line is without 'expose-fd listeners'"
)


class Giving:
    """Gives the sockets of one generation, until there are none any more."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.over = False  # the program finishes

    async def refuse(self, _connection: socket.socket, _seconds: float) -> None:
        """The connection is closed without a word, as by HAProxy."""
        self.runtime.log(LogLevel.WARNING, REFUSED)

    async def give(self, connection: socket.socket, seconds: float) -> None:
        """Send them all; raises TimeoutError or OSError when the client does not take them.

        The client tells how many have come with each message; its last word may never come.
        """
        if connection.family != socket.AF_UNIX or self.runtime.given is None or self.over:
            return
        loop = asyncio.get_running_loop()
        exposed = self.runtime.exposed
        os.eventfd_write(self.runtime.given, 1)
        told = f"giving {len(exposed)} listening sockets to a program that takes over"
        self.runtime.log(LogLevel.NOTICE, told)
        async with asyncio.timeout(seconds):
            await loop.sock_sendall(connection, COUNT.pack(len(exposed)))
            for start in range(0, len(exposed), DESCRIPTORS_MAX):
                await self._send(connection, exposed[start : start + DESCRIPTORS_MAX])
                await loop.sock_recv(connection, COUNT.size)

    async def _send(
        self, connection: socket.socket, listeners: tuple[ListeningSocket, ...]
    ) -> None:
        content = describe_sockets([each.bind.interface or "" for each in listeners])
        descriptors = [each.socket.fileno() for each in listeners]
        while True:
            try:
                socket.send_fds(connection, [content], descriptors)
            except BlockingIOError:  # the client has not taken what came before
                await asyncio.sleep(GIVING_LOOK_SECONDS)
            else:
                return

    def end(self) -> None:
        """The workers stop: the program that has the sockets now shall be alone with them."""
        if not self.over:
            self.over = True
            for listener in self.runtime.listeners:
                listener.socket.close()
