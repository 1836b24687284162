"""`_getsocks`: what a client of a stats socket with `expose-fd listeners` gets, and what it may do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.kernel.socket_messages import COMMAND, COUNT, read_namespaces
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level user expose-fd listeners
    stats socket {silent} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    bind 127.0.0.1:{port}
    bind 127.0.0.2:{port} interface lo
    bind {path}
    server a 127.0.0.1:1
"""


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def millrace(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("giving")
    text = CONFIGURATION.format(port=port, path=folder / "p", silent=folder / "silent")
    with Program(folder, text) as program:
        yield program


@contextlib.contextmanager
def asking(path: Path, command: str = COMMAND) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(path))
        client.sendall(f"{command}\n".encode())
        yield client


def test_a_client_of_any_level_gets_a_socket_of_each_address(millrace: Program, port: int) -> None:
    with asking(millrace.socket_path) as client:
        assert COUNT.unpack(client.recv(COUNT.size)) == (2,)
        content, descriptors, _, _ = socket.recv_fds(client, 1_000, 10)
        with contextlib.ExitStack() as stack:
            found = [
                stack.enter_context(socket.socket(fileno=descriptor)) for descriptor in descriptors
            ]
            names = [each.getsockname() for each in found]
        client.sendall(COUNT.pack(2))
        assert client.recv(1) == b""
    assert names == [("127.0.0.1", port), ("127.0.0.2", port)]
    assert read_namespaces(content, 2) == ["", ""]
    assert content.count(b"\2lo") == 1
    wait_for(lambda: "giving 2 listening sockets" in millrace.output.read_text(), 5, "it is told")


@pytest.mark.parametrize("reads", [0, COUNT.size, 1_000])
def test_one_that_leaves_early_harms_nothing(millrace: Program, reads: int) -> None:
    with asking(millrace.socket_path) as client:
        if reads:
            assert client.recv(reads)
    assert "Pid:" in millrace.ask("show info")
    assert "starting another" not in millrace.output.read_text()


def test_another_socket_gives_none_and_says_nothing(millrace: Program) -> None:
    with asking(millrace.folder / "silent") as client:
        assert client.recv(1) == b""
    told = millrace.output.read_text
    wait_for(lambda: "without 'expose-fd listeners'" in told(), PATIENCE_SECONDS, "a warning")


def test_it_is_no_command_among_others(millrace: Program) -> None:
    """HAProxy takes it anywhere in a line; no program sends it so."""
    with asking(millrace.socket_path, f"show version; {COMMAND}") as client:
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert b"Unknown command" in answer
