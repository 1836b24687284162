"""A backend server in a thread: greets, echoes, and closes when the client has."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.common import free_port

GREETING = b"ready\n"


class EchoBackend:
    """Listens on one address; one thread for each connection."""

    def __init__(self, host: str, port: int = 0, greeting: bytes = GREETING) -> None:
        self.greeting = greeting
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server(
            (host, port or free_port()), family=family, backlog=512
        )
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._connections: set[socket.socket] = set()
        self._over = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._over:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._over:
                connection.close()
                return
            self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(self.greeting)
            while content := connection.recv(65_536):
                connection.sendall(content)
        self._connections.discard(connection)

    def close(self) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()


@contextlib.contextmanager
def echo_backend(host: str, port: int = 0, greeting: bytes = GREETING) -> Iterator[EchoBackend]:
    """One backend while the block lasts."""
    backend = EchoBackend(host, port, greeting)
    try:
        yield backend
    finally:
        backend.close()
