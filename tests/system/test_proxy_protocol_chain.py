"""A chain of proxies that tell each other the client: Millrace, HAProxy, Millrace, then a server.

The first sends version 2, HAProxy hands on version 1, the last one takes it, picks a server by the
client's address and tells it in version 2 with a checksum; its checks announce themselves too.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.program.program import Program
from tests.support.relay.proxy_header import INET, checked, inet_body
from tests.support.servers import Recorder, Server, receive_all, receive_count

DEFAULTS = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 600s
  timeout server 600s
"""
GLOBAL = "global\n  nbthread 1\n  stats socket {socket} level admin\n"
DATA = bytes(range(256)) * 4_000
HEADER_BYTES = 35  # version 2, IPv4, a checksum


def listen(port: int, bind: str, server: str) -> str:
    return f"{DEFAULTS}listen edge\n  bind 127.0.0.1:{port} {bind}\n  server s {server}\n"


def start_haproxy(stack: ExitStack, folder: Path, text: str) -> None:
    file = folder / "haproxy.cfg"
    file.write_text(text)
    command = [require_program("haproxy"), "-db", "-f", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)


def program(stack: ExitStack, folder: Path, text: str) -> Program:
    folder.mkdir()
    return stack.enter_context(Program(folder, GLOBAL + text))


def echo_behind_header(connection: socket.socket) -> None:
    """Send everything back, the header too."""
    connection.sendall(receive_count(connection, HEADER_BYTES))
    while data := connection.recv(65_536):
        connection.sendall(data)


@pytest.mark.slow
def test_the_last_server_of_a_chain_knows_the_client(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        server = stack.enter_context(Server(echo_behind_header))
        last = f"127.0.0.1:{server.port} send-proxy-v2 proxy-v2-options crc32c"
        program(stack, tmp_path / "last", listen(ports[2], "accept-proxy", last))
        to_last = f"127.0.0.1:{ports[2]} send-proxy"
        start_haproxy(stack, tmp_path, listen(ports[1], "accept-proxy", to_last))
        first = f"127.0.0.1:{ports[1]} send-proxy-v2 check inter 100ms"
        edge = program(stack, tmp_path / "first", listen(ports[0], "", first))
        wait_for(lambda: edge.servers("edge")["s"]["srv_op_state"] == "2", 10, "HAProxy is up")
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", ports[0]), PATIENCE_SECONDS) as client:
                own = client.getsockname()[1]
                client.sendall(b"question")
                expected = checked(INET, inet_body("127.0.0.1", "127.0.0.1", own, ports[0]))
                assert receive_count(client, HEADER_BYTES + 8) == expected + b"question"
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b""
        with socket.create_connection(("127.0.0.1", ports[0]), PATIENCE_SECONDS) as client:
            client.sendall(DATA[:100_000])
            receive_count(client, HEADER_BYTES + 100_000)
            client.sendall(DATA[100_000:200_000])
            assert receive_count(client, 100_000) == DATA[100_000:200_000]


@pytest.mark.slow
def test_a_server_s_checks_announce_themselves_to_a_millrace_behind(tmp_path: Path) -> None:
    """They leave no session that its server notices but a connection without a client's bytes."""
    ports = [free_port() for _ in range(2)]
    with ExitStack() as stack:
        server = stack.enter_context(Recorder())
        behind = program(
            stack,
            tmp_path / "behind",
            listen(ports[1], "accept-proxy", f"127.0.0.1:{server.port} send-proxy"),
        )
        front = program(
            stack,
            tmp_path / "front",
            listen(ports[0], "", f"127.0.0.1:{ports[1]} check send-proxy-v2 inter 50ms"),
        )

        def accepted() -> int:
            line = next(row for row in behind.ask("show stat").splitlines() if "FRONTEND" in row)
            return int(line.split(",")[7])

        wait_for(lambda: accepted() >= 5, 10, "checks are accepted as sessions")
        assert front.servers("edge")["s"]["srv_op_state"] == "2"
        assert all(each.startswith(b"PROXY TCP4 127.0.0.1 ") for each in server.received if each)
