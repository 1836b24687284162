"""A client of the stats socket of a program that is stopping softly gets an answer to the end."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, greet
from tests.support.program.program import Program as RealProgram
from tests.support.supervisor.program import ROOT, await_serving, greeting, started

pytestmark = pytest.mark.slow  # starts the program
HOST = "127.44.10.1"
CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
{more}
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 1s
listen web
    bind {host}:{port}
    server a {backend}:{backend_port}
"""


class Site:
    """The program with one session, and what it needs."""

    def __init__(self, folder: Path) -> None:
        self.backend = NamedBackend(HOST, 0)
        self.port = free_port()
        self.program = RealProgram(folder, self.text())
        self.session = self.connect()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.session.close()
        self.backend.close()
        self.program.__exit__(*exception)

    def text(self, more: str = "") -> str:
        where = {"backend": HOST, "backend_port": self.backend.port}
        return CONFIGURATION.format(host=HOST, port=self.port, more=more, **where)

    def connect(self) -> socket.socket:
        greeted = greet((HOST, self.port))
        assert greeted is not None
        return greeted[1]

    def reload(self) -> None:
        before = self.told().count("reload done")
        self.signal(signal.SIGUSR2)
        wait_for(lambda: self.told().count("reload done") > before, 15, "the reload is done")

    def signal(self, number: signal.Signals) -> None:
        self.program.process.send_signal(number)

    def told(self) -> str:
        return self.program.output.read_text()

    def await_answer(self) -> None:
        """The stats socket says that the workers have been told to stop."""
        wait_for(lambda: "Stopping: 1" in self.program.ask("show info"), 15, "an answer")

    def control(self) -> int:
        (pid,) = wait_for(lambda: self.program.children().get("control"), 15, "control runs")
        return pid

    def end(self) -> int:
        """The last session ends, and so does the program."""
        self.session.close()
        return self.program.process.wait(PATIENCE_SECONDS)


def descriptors(site: Site) -> int:
    """How many the supervisor has."""
    return len(list(Path(f"/proc/{site.program.process.pid}/fd").iterdir()))


def test_a_session_of_an_old_generation_keeps_control_which_is_replaced_when_it_dies(
    tmp_path: Path,
) -> None:
    with Site(tmp_path) as site:
        site.reload()
        site.signal(signal.SIGUSR1)
        wait_for(lambda: "stopping softly" in site.told(), 15, "the stop begins")
        wait_for(
            lambda: len(site.program.children().get("worker", [])) == 1, 15, "the new one leaves"
        )
        site.await_answer()
        control = site.control()
        os.kill(control, signal.SIGKILL)
        wait_for(lambda: site.control() != control, 15, "another control runs")
        site.await_answer()
        assert site.end() == 0


def test_generations_between_the_oldest_and_the_newest_end_before_them(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        held = descriptors(site)
        site.reload()
        one_more = descriptors(site) - held
        for _ in range(3):
            site.reload()
        wait_for(
            lambda: descriptors(site) <= held + one_more, PATIENCE_SECONDS, "those between are gone"
        )
        site.signal(signal.SIGUSR1)
        site.await_answer()
        assert site.end() == 0


def test_a_session_of_the_only_generation_keeps_control_likewise(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.signal(signal.SIGUSR1)
        wait_for(lambda: "stopping softly" in site.told(), 15, "the stop begins")
        control = site.control()
        os.kill(control, signal.SIGKILL)
        wait_for(lambda: site.control() != control, 15, "another control runs")
        site.await_answer()
        assert site.end() == 0


def test_hard_stop_after_of_the_newest_generation_leaves_control_to_an_older_one(
    tmp_path: Path,
) -> None:
    with Site(tmp_path) as site:
        site.program.write(site.text("    hard-stop-after 1s"))
        site.reload()
        with site.connect() as late:
            site.signal(signal.SIGUSR1)
            assert late.recv(100) == b"", "the newest generation's sessions are cut"
        wait_for(
            lambda: len(site.program.children().get("worker", [])) == 1, 15, "its worker is gone"
        )
        site.await_answer()
        assert site.end() == 0


def test_a_soft_stop_during_a_reload_leaves_a_control(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.signal(signal.SIGUSR2)
        wait_for(lambda: "reloading" in site.told(), 15, "the reload begins")
        site.signal(signal.SIGUSR1)
        wait_for(lambda: "stopping softly" in site.told(), 15, "the stop begins")
        site.await_answer()
        assert site.end() == 0


def test_a_soft_stop_between_the_old_services_and_the_new_leaves_a_control(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "edge.cfg"
    text = CONFIGURATION.format(host=HOST, port=port, more="", backend=HOST, backend_port=1)
    file.write_text(text.replace("{socket}", str(tmp_path / "s.sock")))
    script = str(ROOT / "tests/support/supervisor/held_reload.py")
    with started(tmp_path, "-f", str(file), script=script) as program:
        await_serving((HOST, port))
        control = program.pid_of("control")
        with socket.create_connection((HOST, port)) as session:
            greeting(session)
            program.signal(signal.SIGUSR2)
            wait_for(lambda: control not in program.titles_all(), 15, "the old control is gone")
            program.signal(signal.SIGUSR1)
            wait_for(lambda: "stopping softly" in program.text(), 15, "the stop begins")
            wait_for(lambda: len(program.titles_all()) == 2, 15, "the new generation is gone")
            assert program.pid_of("control") not in (0, control)
        assert program.wait() == 0
        told = program.text()
        assert "starting another control: a reload that was called off had ended it" in told
        assert f"control ({control})" not in told, "it did not die"
