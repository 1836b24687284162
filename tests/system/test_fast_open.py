"""`tfo` toward servers, in a network namespace with TCP Fast Open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, require_program
from tests.support.differential.pair import ROOT, haproxy_command, millrace_command

CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 2s
    timeout client 2s
    timeout server 2s
listen edge
    bind 127.0.0.1:7000
    server s 127.0.0.1:9000 tfo
"""
# The first connection brings the cookie with which the next ones need no handshake first.
INSIDE = """\
import contextlib, socket, subprocess, sys, threading
from tests.support.common import wait_for
server = socket.create_server(("127.0.0.1", 9000))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
def greet():
    while True:
        accepted, _ = server.accept()
        accepted.sendall(b"hello")
        accepted.close()
threading.Thread(target=greet, daemon=True).start()
child = subprocess.Popen(sys.argv[1:])
try:
    def first():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 7000)) as client:
            return client.recv(5)
    wait_for(first, 20, "it serves")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", 7000)) as client:
            print(client.recv(5).decode() or "nothing")
finally:
    child.terminate()
    child.wait()
"""


def run(inside: list[str], kernel: int) -> str:
    """The output of a command in a namespace whose kernel does as `net.ipv4.tcp_fastopen` says."""
    require_program("unshare")
    prepare = f"ip link set lo up && sysctl -qw net.ipv4.tcp_fastopen={kernel} && exec"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f'{prepare} "$@"', "sh", *inside],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_a_server_that_speaks_first_is_heard_with_a_cookie_at_hand(tmp_path: Path) -> None:
    file = tmp_path / "proxy.cfg"
    file.write_text(CONFIGURATION)
    inside = [sys.executable, "-c", INSIDE, *millrace_command(), "-f", str(file), "-db"]
    assert run(inside, kernel=3).split() == ["hello"] * 3


EVERY_SYN = 0x607  # both sides fast, no cookies needed, whatever listens


@pytest.mark.lengthy
@pytest.mark.slow
def test_bytes_in_a_syn_are_no_connection_yet() -> None:
    """Accepting, refusing, silent and late servers; with and without a PROXY header and words."""

    def played(command: tuple[str, ...]) -> list[str]:
        inside = [sys.executable, "-m", "tests.system.fast_open_inside", *command]
        return run(inside, kernel=EVERY_SYN).splitlines()

    *millrace, syns = played(millrace_command())
    assert len(millrace) == 20
    assert sum(" sC 2 not reached" in line for line in millrace) == 4
    assert sum(" SC 2 not reached" in line for line in millrace) == 4
    assert syns == "went in a SYN"
    *haproxy, _ = played(haproxy_command())
    assert millrace == haproxy
