"""`millrace reload`: where the master CLI is found, what is shown, and the status."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.__main__ import command
from proxy.arguments import Arguments, parse
from proxy.control.limits import RELOAD_SECONDS_MAX
from proxy.flags.table import RELOAD_SECONDS
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.supervisor.program import ROOT, started

CONFIGURATION = """global
  nbthread 1
  stats socket {folder}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen web
  bind 127.44.8.9:{port}
  server s 127.44.8.9:9
"""


class Told:
    """Runs commands; status, standard output, standard error."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *words: str) -> tuple[int, str, str]:
        arguments = parse(words)
        assert isinstance(arguments, Arguments), arguments
        status = command(arguments)()
        return status, *self.capfd.readouterr()


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    return Told(capfd)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something at this socket that answers one client so."""

    def serve() -> None:
        with listening.accept()[0] as client:
            client.recv(1_000)
            client.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_reloads_of_a_program(tmp_path: Path, told: Told) -> None:
    """By -S as a start has it, or by the pid file of a program, whatever its -C."""
    file, pidfile, master = tmp_path / "edge.cfg", tmp_path / "pid", f"{tmp_path}/m"
    text = CONFIGURATION.format(folder=tmp_path, port=free_port())
    file.write_text(text)
    words = ("-W", "-C", str(tmp_path), "-S", f"{master},mode,600", "-p", "pid", "-f", "edge.cfg")
    with started(tmp_path, *words, real=True, executed=True):
        wait_for(lambda: "worker" in told("-S", master, "show", "proc")[1], PATIENCE_SECONDS, "it")
        done = r"\[NOTICE\] .*reload done: generation {} serves\n"
        status, out, err = told("-S", f"{master},mode,600", "reload")
        assert (status, err) == (0, "")
        assert re.fullmatch(done.format(2), out), out
        status, out, err = told("-p", str(pidfile), "hard-reload")
        assert (status, err) == (0, "")
        assert re.fullmatch(done.format(3), out), out
        file.write_text(f"{text}  nonsense\n")
        ended = subprocess.run(
            [sys.executable, "-m", "proxy", "-S", master, "reload"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        first, last = ended.stderr.splitlines()
        assert "edge.cfg:12] : unknown keyword 'nonsense'" in first
        assert last.endswith("reload failed, nothing changed: the configuration has errors")
        status, out, err = told("-S", f"{tmp_path}/s", "reload")
        assert (status, out) == (1, "")
        assert f"{tmp_path}/s is no master CLI" in err


def test_what_is_no_outcome_is_an_error(tmp_path: Path, told: Told) -> None:
    for number, (answer, said) in enumerate(
        (
            (b"", "the connection ended before the answer did: the log says how it went"),
            (b"Permission denied\n\n", "Permission denied"),
        )
    ):
        path = tmp_path / str(number)
        with answering(path, answer):
            assert told("-S", str(path), "reload") == (1, "", f"millrace: {said}\n")


def test_who_is_not_there_is_named(tmp_path: Path, told: Told) -> None:
    missing = f"{tmp_path}/none"
    status, out, err = told("-S", missing, "reload")
    assert (status, out, err) == (1, "", f"millrace: {missing}: No such file or directory\n")
    status, out, err = told("-p", missing, "reload")
    assert (status, out) == (1, "")
    assert err.startswith(f"millrace: {missing} names no process that runs: name the master CLI")
    alone = tmp_path / "alone"
    alone.write_text(f"{os.getpid()}\n")  # a process, and none with a master CLI
    status, out, err = told("-p", str(alone), "reload")
    assert (status, out) == (1, "")
    assert f"a Millrace without one reloads by 'kill -USR2 {os.getpid()}'" in err


def test_silence_ends_with_the_time_that_is_given(tmp_path: Path, told: Told) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/m")
        listening.listen()
        status, _, err = told("-S", f"{tmp_path}/m", "--timeout", "1", "reload")
    assert (status, err.partition(":")[2].strip()[:22]) == (1, "no answer within 1 s: ")
    assert RELOAD_SECONDS > RELOAD_SECONDS_MAX, "the master answers first"
