"""haproxy_exporter of the Prometheus project, which reads the stats socket: the same metrics of both."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

CONFIGURATION = """
global
  stats socket {folder}/s level admin
  nbthread 1
  maxconn 900
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend fe
  bind unix@{folder}/fe
  maxconn 10
  default_backend be
listen li
  bind unix@{folder}/li
  server l1 127.0.0.1:9 disabled
backend be
  server s1 127.0.0.1:9 weight 7
  server s2 127.0.0.1:9 backup
"""
PROGRAM = "prometheus-haproxy-exporter"
PASSES = re.compile(r"haproxy_exporter_|_downtime_seconds|haproxy_version_info|_scrapes_")


@contextmanager
def exporter(made: OneProgram) -> Iterator[str]:
    """Where it serves the metrics of a program."""
    port = free_port()
    program = subprocess.Popen(
        [
            require_program(PROGRAM),
            f"--haproxy.scrape-uri=unix:{made.folder}/s",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        program.terminate()
        program.wait(PATIENCE_SECONDS)


def scraped(address: str) -> dict[str, str]:
    """Values by metric with labels; nothing while the exporter begins."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            text: str = answer.read().decode()
    except OSError:
        return {}
    lines = (line.rpartition(" ")[::2] for line in text.splitlines() if line.startswith("haproxy_"))
    return dict(lines)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("exporter")
    found = {}
    with ExitStack() as stack:
        for name, command in PROGRAMS.items():
            made = stack.enter_context(one_program(command(), folder / name, CONFIGURATION, {}))
            address = stack.enter_context(exporter(made))
            found[name] = wait_for(lambda at=address: scraped(at), 10, "the exporter answers")
        yield found


def test_the_exporter_reads_all(metrics: dict[str, dict[str, str]]) -> None:
    ours = metrics["millrace"]
    assert ours["haproxy_up"] == "1"
    assert ours["haproxy_exporter_csv_parse_failures_total"] == "0"
    assert ours['haproxy_server_weight{backend="be",server="s1"}'] == "7"


def test_the_exporter_has_the_same_of_both(metrics: dict[str, dict[str, str]]) -> None:
    theirs, ours = (
        {name: value for name, value in each.items() if not PASSES.search(name)}
        for each in metrics.values()
    )
    assert ours == theirs
    assert len(ours) > 100
