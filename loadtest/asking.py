"""The stats socket of a program, asked one line at a time."""

from __future__ import annotations

import socket
import time

from loadtest.instance import Instance

ANSWER_SECONDS = 60.0
READ_BYTES = 1 << 20


def ask(instance: Instance, line: str) -> tuple[float, bytes]:
    """Seconds until a line was answered on a connection of its own, and the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_SECONDS)
        began = time.monotonic()
        client.connect(str(instance.stats_socket))
        client.sendall(f"{line}\n".encode())
        said = bytearray()
        while data := client.recv(READ_BYTES):
            said += data
        return time.monotonic() - began, bytes(said)
