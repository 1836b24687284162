"""Clients that come again as soon as they are served, at several listeners: how often each is served."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence

from tests.support.common import wait_for

SERVED_SECONDS_MAX = 60  # one generous limit for the whole crowd


class Turns:
    """A crowd in one thread; each client waits for one byte, leaves, and comes again."""

    def __init__(self, addresses: Sequence[tuple[str, int]], clients: Sequence[int]) -> None:
        self.addresses = addresses
        self.served = [0] * len(clients)
        self.open: dict[socket.socket, int] = {}
        self.selector = selectors.DefaultSelector()
        for bind, count in enumerate(clients):
            for _ in range(count):
                self.come(bind)

    def come(self, bind: int) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self.addresses[bind])
        self.open[client] = bind
        self.selector.register(client, selectors.EVENT_READ)

    def serve(self, count: int) -> list[int]:
        """Let so many more be served; how many there were at each listener."""
        before = list(self.served)
        wait_for(lambda: self.some(sum(before) + count), SERVED_SECONDS_MAX, "all are served")
        return [now - then for now, then in zip(self.served, before, strict=True)]

    def some(self, total: int) -> bool:
        for key, _ in self.selector.select(1):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            assert client.recv(1) == b"x", "an accepted client was closed"
            self.selector.unregister(client)
            client.close()
            bind = self.open.pop(client)
            self.served[bind] += 1
            self.come(bind)
            if sum(self.served) >= total:
                return True
        return False

    def close(self) -> None:
        self.selector.close()
        for client in self.open:
            client.close()
