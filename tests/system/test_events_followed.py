"""`millrace show events state -w` goes on over reloads, and shows each event once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program
from tests.support.supervisor.program import ROOT

CONFIGURATION = """global
  stats socket {socket} level admin
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen web
  bind 127.0.0.1:@port@
  server s1 127.0.0.1:10 weight 1
"""


def test_events_are_followed_over_reloads(tmp_path: Path) -> None:
    out = tmp_path / "events"
    with Program(tmp_path, CONFIGURATION.replace("@port@", str(free_port()))) as program:
        words = ["-S", str(program.socket_path), "show", "events", "state", "-w"]
        with out.open("wb") as output:
            follower = subprocess.Popen(
                [sys.executable, "-m", "proxy", *words],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            )
        with follower:
            for number in range(2, 5):
                program.ask(f"set weight web/s1 {number}")
                wait_for(lambda: f"web/s1 {number} " in out.read_text(), 60, "the order")  # noqa: B023
                program.process.send_signal(signal.SIGUSR2)
                done = f"generation {number} serves"
                wait_for(lambda: done in out.read_text(), 60, "the reload")  # noqa: B023
            events = program.ask("show events state").splitlines()[:-1]
            wait_for(lambda: len(out.read_text().splitlines()) >= len(events), 60, "all of them")
            assert out.read_text().splitlines() == events
            program.process.send_signal(signal.SIGTERM)
            assert follower.wait(PATIENCE_SECONDS) == 1
            assert follower.stderr is not None
            assert follower.stderr.read().startswith("millrace: ")


def test_what_is_refused_is_not_asked_again(tmp_path: Path) -> None:
    with Program(tmp_path, CONFIGURATION.replace("@port@", str(free_port()))) as program:
        for words, told in (("none -w", "No such event sink"), ("state -w json", "'json' is one")):
            ended = subprocess.run(
                [
                    *(sys.executable, "-m", "proxy", "-S", str(program.socket_path)),
                    *("show", "events", *words.split()),
                ],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
            assert (ended.returncode, ended.stdout) == (1, "")
            assert ended.stderr.startswith(told)
