"""Many established connections through a proxy, with both ends in this process.

Owns the sockets of both sides. Connections are made one after the other, and each carries a byte in
both directions first: real idle connections have carried data, so that a buffer which the proxy
keeps after that is measured.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loadtest.process import ProgramFailedError
from loadtest.site import ProxiedService

STEP_SECONDS = 30.0  # for a busy machine


@contextmanager
def hold_connections(service: ProxiedService, count: int) -> Iterator[None]:
    """Hold `count` connections from the service's front to its server while the block lasts.

    Raises ProgramFailedError when the proxy does not connect one of them within five seconds.
    """
    with ExitStack() as sockets:
        server = service.servers[0]
        listener = sockets.enter_context(socket.create_server((server.host, server.port)))
        listener.settimeout(STEP_SECONDS)
        for number in range(count):
            try:
                _pair(service, listener, sockets)
            except OSError as error:
                raise ProgramFailedError(f"idle connection {number + 1}: {error}") from error
        yield


def _pair(service: ProxiedService, listener: socket.socket, sockets: ExitStack) -> None:
    front = (service.front.host, service.front.port)
    client = sockets.enter_context(socket.create_connection(front, STEP_SECONDS))
    client.sendall(b"c")
    peer = sockets.enter_context(listener.accept()[0])
    peer.settimeout(STEP_SECONDS)
    _expect(peer, b"c")
    peer.sendall(b"s")
    _expect(client, b"s")


def _expect(end: socket.socket, byte: bytes) -> None:
    if end.recv(1) != byte:
        raise ConnectionError("closed instead of forwarding a byte")
