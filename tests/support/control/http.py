"""A minimal HTTP client that shows everything: status, headers, body, as they were sent."""

from __future__ import annotations

import http.client
import socket
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS
from tests.support.control.site import World, read_all


class Answer(NamedTuple):
    """One response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def get(
    world: World,
    frontend: str,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    host, port = world.services[frontend].getsockname()
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def dial(world: World, frontend: str) -> socket.socket:
    """A bare connection to a statistics section."""
    client = socket.create_connection(world.services[frontend].getsockname(), PATIENCE_SECONDS)
    client.settimeout(PATIENCE_SECONDS)
    return client


def exchange(world: World, frontend: str, data: bytes) -> bytes:
    """Send these bytes; everything that comes back until the end."""
    with dial(world, frontend) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)
