"""Backends that were added at run time, and those that were unpublished, at an upgrade."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program, greet, who_answers

HOST, BASE, OTHER = (f"127.44.42.{last}" for last in (1, 2, 3))
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    log stdout format raw local0
defaults plain
    mode tcp
    timeout connect 9s
    timeout client 99s
    timeout server 99s
frontend web from plain
    bind {host}:{front}
    use_backend %[str(added)] if {{ always_true }}
    default_backend base
backend base from plain
    server a {base}:{port}
"""


@pytest.mark.slow
def test_they_are_as_in_the_files_and_a_session_goes_on(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    front = (HOST, free_port())
    with closing(NamedBackend(BASE, 0)) as base, closing(NamedBackend(OTHER, base.port)):
        text = CONFIGURATION.format(host=HOST, front=front[1], base=BASE, port=base.port)
        with Program(tmp_path, text, environ=installed.environ, executed=True) as program:
            fill = (
                "add backend added from plain",
                f"add server added/s {OTHER}:{base.port} enabled",
                "publish backend added",
            )
            for order in fill:
                program.ask(order)
            greeted = greet(front)
            assert greeted is not None
            assert greeted[0] == OTHER
            program.ask("unpublish backend base")
            installed.change("proxy/__init__.py")
            program.process.send_signal(signal.SIGUSR2)
            told = program.output.read_text
            wait_for(
                lambda: "upgrade done: generation" in told(), 2 * PATIENCE_SECONDS, "the upgrade"
            )
            wait_for(lambda: who_answers(front) == BASE, PATIENCE_SECONDS, "as in the files")
            for line in (
                "backend added, added at run time, is not in the files: it is gone",
                "backend base, unpublished at run time, is published again",
            ):
                wait_for(lambda line=line: line in told(), PATIENCE_SECONDS, "the log says so")
            with greeted[1] as session:
                session.sendall(b"x")
                assert session.recv(1) == b"x"
            for order in fill:
                program.ask(order)
            assert who_answers(front) == OTHER
            assert "Traceback" not in told()
