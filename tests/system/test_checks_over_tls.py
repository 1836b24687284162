"""Checks over TLS of the whole program: inside a chroot, after a worker's end, over reloads.

The certificates are read with the configuration: what becomes of the files then is seen by the next
reload alone.
"""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.health.check_peers import Act
from tests.health.tls_peers import ServerTls, shake, wait
from tests.support.certificates import Authority
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program
from tests.support.servers import Server

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    {chroot}
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen edge
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{server} check check-ssl inter 1s fall 1 rise 1 {words}
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "pem")
    authority.issue("server", "server.test")
    authority.issue("client", "client.test")
    ServerTls.folder = authority.folder
    return authority


@pytest.fixture
def server(made: Authority) -> Iterator[Server]:
    """Wants a certificate of its clients."""
    act: Act = shake(ServerTls("server", clients="ca", versions=("TLSv1_2", "TLSv1_2")), wait)
    with Server(lambda connection: act(connection, bytearray())) as running:
        yield running


def text_of(server: Server, words: str, chroot: str = "") -> str:
    return CONFIGURATION.format(port=free_port(), server=server.port, words=words, chroot=chroot)


def status(program: Program) -> str:
    rows = csv.DictReader(io.StringIO(program.ask("show stat").lstrip("# ")))
    said = next(row["check_status"] for row in rows if row["svname"] == "s")
    return said.removeprefix("* ")  # while the next check is under way


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root directory")
def test_neither_a_chroot_nor_a_new_worker_needs_the_files(
    made: Authority, server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    words = f"verify required ca-file {made.path('ca')} crt {made.path('client')} verifyhost server.test"
    with Program(tmp_path, text_of(server, words, f"chroot {root}")) as program:
        wait_for(lambda: status(program) == "L6OK", 10, "a good handshake")
        for file in made.folder.iterdir():
            file.unlink()
        [worker] = program.children()["worker"]
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: program.children().get("worker") not in (None, [worker]), 10, "another")
        accepted = server.accepted
        wait_for(lambda: server.accepted > accepted + 2, 10, "checks of the new worker")
        wait_for(lambda: status(program) == "L6OK", 10, "its handshakes are good as well")


def test_a_reload_reads_the_files_anew(made: Authority, server: Server, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    authority = Path(made.path("ca"))
    ours = authority.read_bytes()
    words = f"verify required ca-file {authority} crt {made.path('client')}"
    with Program(tmp_path, text_of(server, words)) as program:
        wait_for(lambda: status(program) == "L6OK", 10, "a good handshake")
        authority.write_bytes(Path(stranger.path("ca")).read_bytes())
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: status(program) == "L6RSP", 20, "the new authority has not signed it")
        authority.write_bytes(ours)
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: status(program) == "L6OK", 20, "the old one has")
        authority.unlink()
        program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: f"Couldn't open the ca-file '{authority}'" in program.output.read_text(),
            20,
            "the reload is refused",
        )
        accepted = server.accepted
        wait_for(lambda: server.accepted > accepted + 2, 10, "checks go on")
        wait_for(lambda: status(program) == "L6OK", 10, "they are good")


def test_only_a_file_that_asks_for_it_loads_the_library(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from proxy.config.loader import load\n"
        "load([sys.argv[1]], environ={})\n"
        "print('_ssl' in sys.modules)\n"
    )
    file = tmp_path / "m.cfg"
    for words, loaded in (("check", "False"), ("check check-ssl verify none", "True")):
        file.write_text(f"backend b\n    server s 127.0.0.1:1 {words}\n")
        done = subprocess.run(
            (sys.executable, "-c", script, str(file)),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        assert done.stdout.strip() == loaded
