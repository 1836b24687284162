"""What is left of a reload that failed: standard error, metrics, the page, until one succeeds."""

from __future__ import annotations

import re
import signal
import urllib.request
from functools import partial
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

CONFIGURATION = """
global
  stats socket {{socket}} level admin
  log {folder}/nobody local0
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend page
  bind 127.0.0.1:{port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  stats enable
  stats uri /
"""
NAMES = ("reload_generation", "reload_failures_total", "last_reload_successful")


def test_a_failed_reload_is_seen_until_one_succeeds(tmp_path: Path) -> None:
    port = free_port()
    text = CONFIGURATION.format(folder=tmp_path, port=port).replace("{{ path", "{ path")
    text = text.replace("/metrics }}", "/metrics }")

    def fetched(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def counted() -> list[int]:
        found = dict(re.findall(r"^millrace_(\w+) (\d+)$", fetched("/metrics"), re.M))
        return [int(found[name]) for name in NAMES]

    def shows(wanted: list[int]) -> bool:
        return counted() == wanted

    with Program(tmp_path, text) as program:
        assert counted() == [1, 0, 1]
        assert "The reload of" not in fetched("/")
        for failures in (1, 2):
            program.write(text + "  nonsense\n")
            program.process.send_signal(signal.SIGUSR2)
            seen = [1, failures, 0]
            wait_for(partial(shows, seen), PATIENCE_SECONDS, "a failure counted")
        assert re.search(r"The reload of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed", fetched("/"))
        told = program.output.read_text()
        assert "unknown keyword 'nonsense'" in told
        assert re.search(r"^\[ALERT\] +\(\d+\) : reload failed, nothing changed: ", told, re.M)
        program.write(text)
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: counted() == [2, 2, 1], PATIENCE_SECONDS, "a reload that succeeded")
        assert "The reload of" not in fetched("/")
