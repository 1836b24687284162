"""No check waits for an acknowledgement: each send leaves at once, as HAProxy's does.

The server acknowledges late, as the kernel of another host may by itself. Then Nagle's algorithm
keeps back what a second send gives (RFC 1122, section 4.2.3.4) until there is more of it: fewer
segments arrive than there were sends. Segments are counted by the kernel, at the server.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.servers import Server

DATA_SEGMENTS_IN_AT = 152  # struct tcp_info of <linux/tcp.h>
INFO_BYTES = 232
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
listen be
  bind 127.0.0.1:{port}
  {rules}
  server s 127.0.0.1:{server_port} check {options} inter 500ms
"""
CASES = {
    "sends": (
        "option tcp-check\n  tcp-check send A\n  tcp-check send B\n  tcp-check send C\n"
        "  tcp-check expect string OK",
        "",
        b"ABC",
        3,
    ),
    "header": (
        "option tcp-check\n  tcp-check send A\n  tcp-check send B\n  tcp-check expect string OK",
        "send-proxy-v2",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0AB",
        3,
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_send_is_a_segment(program: str, case: str, tmp_path: Path) -> None:
    rules, options, wanted, segments = CASES[case]
    found: list[tuple[bytes, int]] = []

    def serve(connection: socket.socket) -> None:
        received = b""
        while len(received) < len(wanted):
            received += connection.recv(100)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        found.append((received, struct.unpack_from("I", info, DATA_SEGMENTS_IN_AT)[0]))
        connection.sendall(b"OK")

    with Server(serve) as server:
        server.listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)  # late ones
        text = CONFIGURATION.format(
            port=free_port(), rules=rules, server_port=server.port, options=options
        )
        with one_program(PROGRAMS[program](), tmp_path / program, text, {}):
            wait_for(lambda: len(found) > 1, PATIENCE_SECONDS, "two checks")
    # one that was late to be acknowledged is sent again
    assert all(data == wanted and count >= segments for data, count in found), found
