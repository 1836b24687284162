"""The generator of short connections: every one from the next address, asked, heard and counted."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.generators import built_generator
from loadtest.knocking import client_hello, read_knock
from loadtest.process import ProgramFailedError
from loadtest.rule_files import NETWORKS, list_lines
from loadtest.site import HostPort, make_site
from tests.support.common import PATIENCE_SECONDS

REQUEST = b"hello\n"
RESET = struct.pack("ii", 1, 0)


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[HostPort, list[str]]]:
    """Answers one connection at a time; yields its address and the clients' addresses."""
    sources: list[str] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, (source, _port) = listening.accept()
                except OSError:
                    return
                with connection:
                    sources.append(source)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield HostPort(*listening.getsockname()), sources
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def knock() -> Iterator[Path]:
    with built_generator(make_site(), "knock") as program:
        yield program


@pytest.fixture(scope="module")
def request_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("knock") / "request"
    path.write_bytes(REQUEST)
    return path


def knocked(knock: Path, front: HostPort, *more: str) -> dict[str, float]:
    command = (str(knock), front.host, str(front.port), *more)
    text = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    ).stdout
    report: dict[str, float] = json.loads(text)
    return report


def test_each_connection_asks_from_the_next_address(knock: Path, request_file: Path) -> None:
    heard = []

    def answer(connection: socket.socket) -> None:
        heard.append(connection.recv(100))
        connection.sendall(b"yes")

    with server(answer) as (front, sources):
        report = knocked(knock, front, "2", "3", "0.3", str(request_file))
    assert set(sources) == {"127.200.0.0", "127.200.0.1", "127.200.0.2"}
    assert report["errors"] == 0
    assert report["answered"] == report["ended"] > 3
    under_way = 2
    assert 3 * report["ended"] <= report["bytes"] <= 3 * (report["ended"] + under_way)
    assert heard.count(REQUEST) >= report["ended"]


def test_refused_connections_end_unanswered(knock: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with server(refuse) as (front, _sources):
        report = knocked(knock, front, "4", "1", "0.3")
    assert report["ended"] > 0
    assert (report["answered"], report["errors"]) == (0, 0)


def test_an_address_without_a_listener_is_an_error(knock: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        command = (str(knock), "127.0.0.1", str(bound.getsockname()[1]), "1", "1", "0.1")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["errors"] > 0


@pytest.mark.parametrize(
    "arguments",
    [(), ("127.0.0.1", "1", "0", "1", "1"), ("127.0.0.1", "1", "1", "0", "1"), ("x", *"1111")],
)
def test_wrong_arguments_are_a_usage(knock: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run((str(knock), *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: knock")


def test_a_report_is_read_as_cost_per_connection() -> None:
    report = {"ended": 50, "answered": 40, "errors": 0, "bytes": 9, "seconds": 2.0}
    figures = read_knock(json.dumps(report), 0.005)
    assert (figures["cpu_us"], figures["rate"]) == (pytest.approx(100), 25)
    with pytest.raises(ProgramFailedError, match="no connection ended"):
        read_knock(json.dumps(report | {"ended": 0}), 0.1)


def test_the_hello_has_the_name_and_the_lists_no_client(tmp_path: Path) -> None:
    seen: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    incoming = ssl.MemoryBIO()
    incoming.write(client_hello("app7.load.test"))
    with pytest.raises(ssl.SSLError):
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert seen == ["app7.load.test"]
    (line,) = list_lines(1, tmp_path)
    (path,) = tmp_path.iterdir()
    networks = path.read_text(encoding="ascii").splitlines()
    assert len(set(networks)) == NETWORKS
    assert not [network for network in networks if network.startswith("127.")]
    assert str(path) in line
