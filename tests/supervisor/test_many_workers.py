"""Many more workers than cores, on many addresses: the start's work is not their product."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shm.shape import SOCKETS_MAX
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.program.program import Program

pytestmark = pytest.mark.slow  # starts the program with dozens of processes

ADDRESSES = 100


def configuration(workers: int) -> str:
    port = free_port()
    binds = "\n    ".join(f"bind 127.50.0.{place}:{port}" for place in range(1, ADDRESSES + 1))
    return (
        f"global\n    nbthread {workers}\n    stats socket {{socket}} level admin\n"
        "    maxconn 100\ndefaults\n    mode tcp\n    timeout client 60s\n    timeout server 60s\n"
        f"    timeout connect 1s\nlisten web\n    {binds}\n    server a 127.0.0.1:1\n"
    )


def test_64_workers_serve_100_addresses(tmp_path: Path) -> None:
    """On two cores this took more than the ten seconds that a worker has to become ready."""
    with Program(tmp_path, configuration(64), "-W", "-db") as program:
        wait_for(
            lambda: "Loading success" in program.output.read_text() or program.process.poll(),
            20,
            "all workers are ready",
        )
        assert len(program.children()["worker"]) == 64
        assert "Nbthread: 64\n" in program.ask("show info")
        assert "[ALERT]" not in program.output.read_text()


def test_each_socket_is_set_up_once_whatever_the_number_of_workers(tmp_path: Path) -> None:
    """A worker inherits the sockets of all its siblings: it asks the kernel about its own only."""
    workers = 32
    counts = tmp_path / "counts"
    traced = "trace=%network,ioctl,fcntl,close"
    wrapper = (require_program("strace"), "-D", "-f", "-c", "-e", traced, "-o", str(counts))
    with Program(tmp_path, configuration(workers), wrapper=wrapper):
        pass
    totals = wait_for(
        lambda: re.findall(r"(\d+)(?: +\d+)? total", counts.read_text()), 10, "counts"
    )
    sockets = workers * ADDRESSES
    assert 5 * sockets < int(totals[0]) < 40 * sockets, counts.read_text()


def test_more_sockets_than_there_can_be_are_an_error_with_its_place(tmp_path: Path) -> None:
    """Addresses times workers: the address is named with which there are too many."""
    file = tmp_path / "many.cfg"
    for workers, surplus in ((81, False), (82, True), (128, True)):
        text = configuration(workers).replace("    stats socket {socket} level admin\n", "")
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "-c", "-f", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == (1 if surplus else 0), done.stderr
        if surplus:
            place = f"bind 127.50.0.{SOCKETS_MAX // workers + 1}:"
            line = next(n for n, each in enumerate(text.splitlines(), 1) if place in each)
            assert f"[{file}:{line}]" in done.stderr
            assert f"at most {SOCKETS_MAX} listening sockets, not {workers * 100}" in done.stderr
