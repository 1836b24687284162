"""`millrace ping` and `/ready`, while processes hang, control is dead and the program stops."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.client.ping import run
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.program.program import Program

HOST = "127.44.33.1"
CONFIGURATION = """
global
    nbthread 2
    grace 1h
    stats socket {{socket}} level admin
    pidfile {pidfile}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen web
    bind {host}:{port}
    server a 127.0.0.1:1
frontend page
    mode http
    bind {host}:{page}
    http-request deny if {{ path /ready }} {{ src 127.0.0.99 }}
    stats enable
    stats uri /
"""


class Edge:
    """The program, asked by both ways."""

    def __init__(self, folder: Path) -> None:
        self.pidfile = str(folder / "pid")
        self.port, self.page = free_port(), free_port()
        text = CONFIGURATION.format(host=HOST, port=self.port, page=self.page, pidfile=self.pidfile)
        self.program = Program(folder, text)

    def ping(self, capfd: pytest.CaptureFixture[str], seconds: int = 30) -> tuple[int, str]:
        status = run(None, (str(self.program.file),), {}, seconds)
        out, err = capfd.readouterr()
        return status, out + err

    def ready(self) -> tuple[int, bytes]:
        asking = http.client.HTTPConnection(HOST, self.page, timeout=PATIENCE_SECONDS)
        with contextlib.closing(asking):
            asking.request("GET", "/ready")
            answer = asking.getresponse()
            return answer.status, answer.read()


@contextlib.contextmanager
def queue_filled(path: str) -> Iterator[None]:
    """No other client has a place in the queue of a stopped process."""
    with contextlib.ExitStack() as clients:
        refused = 0
        while not refused:
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            refused = client.connect_ex(path)
        yield


def test_they_say_what_is_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edge = Edge(tmp_path)
    with edge.program as program:
        main = program.process.pid
        everything = (0, "ok: 2 of 2 workers serve\n")
        wait_for(lambda: edge.ping(capfd) == everything, 15, "all workers serve")
        assert stat.S_IMODE(Path(f"{edge.pidfile}.ping").stat().st_mode) == 0o660
        assert edge.ready() == (200, b"ready\n")

        [control] = program.children()["control"]
        stand_still(control)  # no control is needed
        assert edge.ping(capfd)[0] == 0
        os.kill(control, signal.SIGKILL)

        for worker in program.children()["worker"]:
            stand_still(worker)
        wait_for(lambda: edge.ping(capfd)[0] == 1, 15, "no worker serves")
        wait_for(lambda: edge.ping(capfd)[0] == 0, 15, "workers were replaced")

        stand_still(main)
        status, told = edge.ping(capfd, 1)
        assert (status, "does not answer within 1 s" in told) == (1, True)
        with queue_filled(f"{edge.pidfile}.ping"):
            assert edge.ping(capfd, 1) == (status, told)
        os.kill(main, signal.SIGCONT)

        wait_for(lambda: edge.ready() == (200, b"ready\n"), 15, "it is ready again")
        os.kill(main, signal.SIGUSR1)
        wait_for(lambda: edge.ready() == (503, b"stopping\n"), 15, "it is not ready any more")
        socket.create_connection((HOST, edge.port), PATIENCE_SECONDS).close()  # in its grace
        assert edge.ping(capfd)[0] == 0
    assert not Path(f"{edge.pidfile}.ping").exists()
    status, told = edge.ping(capfd)
    assert (status, "No such file or directory" in told) == (1, True)
