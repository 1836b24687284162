"""The same script of a server's life, told by Debian's HAProxy and by a checker: same sequences."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.config.model.settings import Check
from tests.support.common import free_port, require_program, wait_for
from tests.support.relay.worker import Backend, Spec, run_checker, settings_of, site

CHECK = Check(inter_ms=300, fastinter_ms=250, downinter_ms=250, rise=2, fall=3)
CONFIGURATION = """
global
  stats socket {folder}/socket level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 600s
  timeout server 600s
listen be
  bind 127.0.0.1:{port}
  server s1 {backend.host}:{backend.port} check inter 300ms fastinter 250ms downinter 250ms \
rise 2 fall 3
"""


class Seen(NamedTuple):
    """What `show servers state` says of a server's health."""

    operational: int
    status: int
    result: int
    health: int


Look = Callable[[], tuple[Seen, bool]]  # and whether a check is under way


def life(look: Look, backend: Backend) -> list[Seen]:
    """Drive one server through its life, each step when the former one shows; what was seen."""
    told: list[Seen] = []

    def until(health: int, status: int) -> None:
        def there() -> bool:
            seen, under_way = look()
            if not under_way and (not told or told[-1] != seen):
                told.append(seen)
            return (seen.health, seen.status, under_way) == (health, status, False)

        wait_for(there, 15, f"health {health}, status {status}; so far {told}", step=0.003)

    until(4, 6)
    backend.close()
    until(2, 8)
    backend.open()
    until(4, 6)
    backend.close()
    until(0, 8)
    backend.open()
    until(1, 6)
    backend.close()
    until(0, 8)
    backend.open()
    until(4, 6)
    backend.close()
    backend.fill()
    until(0, 7)
    backend.close()
    return told


def ask(path: Path, command: str) -> list[str]:
    """The lines that HAProxy's stats socket answers; none while it is not there yet."""
    with socket.socket(socket.AF_UNIX) as asked:
        if asked.connect_ex(str(path)) != 0:
            return []
        asked.sendall(f"{command}\n".encode())
        answer = b""
        while chunk := asked.recv(65536):
            answer += chunk
    return answer.decode().splitlines()


def haproxy_life(folder: Path) -> list[Seen]:
    """What HAProxy tells."""
    backend = Backend("127.77.5.1").open()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=free_port(), backend=backend))
    command = [require_program("haproxy"), "-db", "-f", str(configuration)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def look() -> tuple[Seen, bool]:
        fields = ask(folder / "socket", "show servers state be")[2].split()
        return Seen(int(fields[5]), *map(int, fields[10:13])), int(fields[13]) & 1 == 1

    try:
        wait_for(lambda: len(ask(folder / "socket", "show servers state be")) > 2, 5, "haproxy")
        return life(look, backend)
    finally:
        process.terminate()
        process.wait()


def checker_life() -> list[Seen]:
    """What a checker's record tells."""
    backend = Backend("127.77.5.2").open()
    with site(settings_of([Spec(backend.host, backend.port, CHECK)])) as made:
        made.fork(0, run_checker)
        wait_for(lambda: made.health(0).status, 5, "the first record")

        def look() -> tuple[Seen, bool]:
            record = made.health(0)
            seen = Seen(record.operational, record.status, record.result, record.health)
            return seen, record.check_state & 1 == 1

        return life(look, backend)


@pytest.mark.quiet
@pytest.mark.slow
def test_haproxy_and_the_checker_tell_the_same_life_of_a_server(tmp_path: Path) -> None:
    theirs, ours = haproxy_life(tmp_path), checker_life()
    initial = Seen(2, 1, 0, 2)
    assert [seen for seen in ours if seen != initial] == [
        seen for seen in theirs if seen != initial
    ]
    assert len(ours) >= 13
