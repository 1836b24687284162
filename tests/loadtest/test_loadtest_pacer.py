"""The open-loop generator: every request at its time, and what it reports of a server that stalls."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.generators import built_generator
from loadtest.latency import read_pacer
from loadtest.process import ProgramFailedError
from loadtest.site import HostPort, make_site
from tests.support.common import PATIENCE_SECONDS

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
STALL_S = 0.3
REPORT = {
    "requests": 10,
    "answered": 10,
    "errors": 0,
    "seconds": 1.0,
    "lag_p99_us": 4,
    "max_us": 90,
    "quantiles_us": {"0.5": 10, "0.99": 50, "0.999": 70},
}


@contextmanager
def server(answer: Callable[[socket.socket, int], None]) -> Iterator[HostPort]:
    """Answers the requests of one connection at a time; `answer` is told which request it is."""

    def serve(connection: socket.socket) -> None:
        number = 0
        with connection:
            while data := connection.recv(65_536):
                for _ in range(data.count(b"\r\n\r\n")):
                    answer(connection, number)
                    number += 1

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        host, port = listening.getsockname()
        yield HostPort(host, port)
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def pacer() -> Iterator[Path]:
    with built_generator(make_site(), "pacer") as program:
        yield program


def paced(pacer: Path, front: HostPort, *numbers: float) -> tuple[int, str]:
    """Exit status and report; `numbers` are connections, rate and seconds."""
    command = (str(pacer), front.host, str(front.port), *(f"{number:g}" for number in numbers))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    return done.returncode, done.stdout


def test_every_request_is_sent_and_answered(pacer: Path) -> None:
    with server(lambda connection, _: connection.sendall(ANSWER)) as front:
        status, text = paced(pacer, front, 4, 500, 0.4)
    assert status == 0
    report = json.loads(text)
    assert (report["requests"], report["answered"], report["errors"]) == (200, 200, 0)
    assert report["seconds"] >= 0.39  # not faster than the rate


def test_a_stall_costs_every_request_that_it_held_up(pacer: Path) -> None:
    def stall_once(connection: socket.socket, number: int) -> None:
        if number == 50:  # the first went before the clock ran
            time.sleep(STALL_S)
        connection.sendall(ANSWER)

    with server(stall_once) as front:
        status, text = paced(pacer, front, 1, 1_000, 0.5)
    assert status == 0
    quantiles = json.loads(text)["quantiles_us"]
    # 300 of 500 were due meanwhile; a closed loop would have seen a single slow one
    assert quantiles["0.75"] > STALL_S * 1e6 / 4
    assert quantiles["0.99"] > STALL_S * 1e6 * 0.9


def test_connections_that_end_are_errors(pacer: Path) -> None:
    def leave(connection: socket.socket, number: int) -> None:
        if number < 3:
            connection.sendall(ANSWER)
        else:
            connection.shutdown(socket.SHUT_RDWR)

    with server(leave) as front:
        status, text = paced(pacer, front, 2, 100, 0.2)
    assert status == 3
    report = json.loads(text)
    assert report["errors"] == 2
    with pytest.raises(ProgramFailedError, match="2 connections failed"):
        read_pacer(text)


@pytest.mark.parametrize(
    "arguments",
    [(), ("127.0.0.1", "1", "0", "1", "1"), ("127.0.0.1", "1", "1", "1", "601"), ("x",) * 5],
)
def test_wrong_arguments_are_a_usage(pacer: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run((str(pacer), *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: pacer")


def test_the_figures_of_a_report() -> None:
    figures = read_pacer(json.dumps(REPORT))
    assert figures["latency_p99_us"] == 50
    assert figures["units"] == 10
    with pytest.raises(ProgramFailedError, match="9 of 10 answered"):
        read_pacer(json.dumps(REPORT | {"answered": 9}))
