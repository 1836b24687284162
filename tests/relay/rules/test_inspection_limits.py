"""Clients that rules wait for hold a limited sum of bytes; what is beyond it is judged at once."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program
from tests.support.servers import Server, echo

HELD = 15_359  # bytes of a client: one less than what ends an inspection
LIMIT = 64 << 20
FILE = """
global
  nbthread 1
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 60s
  timeout client 600s
  timeout server 600s
frontend edge
  bind 127.0.0.1:{port} backlog 4096
  tcp-request inspect-delay 600s
  tcp-request content accept if {{ req.len ge 15360 }}
  default_backend servers
backend servers
  server s {host}:{server}
"""


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], count), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
def test_beyond_the_limit_a_client_is_judged_by_what_is_there(tmp_path: Path) -> None:
    port, clients = free_port(), LIMIT // HELD + 50
    with descriptors(clients + 500), ExitStack() as stack:
        server = stack.enter_context(Server(echo))
        host, server_port = server.address
        text = FILE.format(port=port, host=host, server=server_port)
        program = stack.enter_context(Program(tmp_path, text))
        for _ in range(clients):
            client = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
            stack.callback(client.close)
            client.sendall(b"x" * HELD)
        wait_for(lambda: sessions(program, "servers") > 0, 60, "one is judged")
        waiting = sessions(program, "edge") - sessions(program, "servers")
        assert LIMIT // HELD - 10 <= waiting <= LIMIT // HELD + 1
    wait_for(lambda: server.accepted > 0, 10, "it reaches a server")


def sessions(program: Program, section: str) -> int:
    head, *lines = program.ask("show stat").strip().splitlines()
    column = head.split(",").index("scur")
    side = "BACKEND" if section == "servers" else "FRONTEND"
    [row] = [line.split(",") for line in lines if line.startswith(f"{section},{side},")]
    return int(row[column])
