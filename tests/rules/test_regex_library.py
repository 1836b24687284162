"""The library of regular expressions: loaded before a chroot, named where it is missing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.differential.pair import ROOT
from tests.support.program.program import Program

CONFIGURATION = """\
global
  stats socket {folder}/s level admin
{words}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  http-request return status 299 if {{ path {pattern} }}
  http-request return status 298
"""
HIDING = (  # the library's file is an empty one, in a name space of its own
    'for file in $(ldconfig -p | sed -n "s/.*=> //p" | grep libpcre2-8); do '
    'mount --bind /dev/null "$(realpath "$file")"; done && exec "$@"'
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


def answers(port: int, path: str, status: bytes) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65_536), b"")).split(b" ", 2)[1:2] == [status]
    return False


@needs_root
@pytest.mark.slow
def test_the_first_expression_may_come_with_a_reload_of_a_program_in_a_chroot(
    tmp_path: Path,
) -> None:
    jail = tmp_path / "jail"
    jail.mkdir()
    port = free_port()

    def written(pattern: str) -> str:
        words = f"  chroot {jail}"
        return CONFIGURATION.format(folder=tmp_path, words=words, port=port, pattern=pattern)

    with Program(tmp_path, written("-m beg /b"), wait=False) as program:
        wait_for(lambda: answers(port, "/abab", b"298"), PATIENCE_SECONDS, "the start")
        program.write(written("-m reg ^/(?:ab)+$"))
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: answers(port, "/abab", b"299"), PATIENCE_SECONDS, "the reload")
        assert answers(port, "/aba", b"298")


@needs_root
@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [("-m reg ^/a", "regular expressions take the package libpcre2-8-0: "), ("-m beg /a", "")],
)
def test_without_the_library_only_expressions_are_refused(
    tmp_path: Path, pattern: str, complaint: str
) -> None:
    (tmp_path / "edge.cfg").write_text(
        CONFIGURATION.format(folder=tmp_path, words="", port=1, pattern=pattern)
    )
    checking = (sys.executable, "-m", "proxy", "-c", "-f", str(tmp_path / "edge.cfg"))
    judged = subprocess.run(
        (require_program("unshare"), "--mount", "sh", "-c", HIDING, "sh", *checking),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == bool(complaint), judged.stderr
    assert complaint in judged.stderr
