"""What a start waits for: workers before everything else, and no module that they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.supervisor.program import ROOT, descendants, started

HOST = "127.44.19.1"
NOT_AWAITED = (  # by no worker
    *("proxy.control.process", "proxy.control.commands", "proxy.control.rows"),
    *("resolverd.daemon", "resolverd.core", "prometheus_client", "proxy.runner.process"),
)
LOADED = """
import os, sys
from proxy.arguments import parse
import proxy.cli
from proxy.supervisor.prepare import prepare
from proxy.supervisor.preload import preload
prepare(parse(["-f", sys.argv[1]]), os.environ)
preload()
print(*sys.modules)
"""
WITHOUT_CONTROL = """
import sys
sys.modules["proxy.control.process"] = None  # an ImportError for whoever wants it
from proxy.cli import run
sys.exit(run(["-f", sys.argv[1]]))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "edge.cfg"
    file.write_text(
        f"global\n    nbthread 3\n    stats socket {tmp_path}/stats.sock\n"
        "resolvers dns\n    nameserver ns1 127.44.19.2:53\n"
        "defaults\n    mode tcp\n    timeout client 9s\n    timeout server 9s\n"
        f"    timeout connect 9s\nlisten web\n    bind {HOST}:{free_port()}\n"
        f"    server a {HOST}:1 check\n    server b b.test:1 resolvers dns init-addr none\n"
    )
    return file


def run_script(script: str, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_clients_do_not_wait_for_what_only_other_processes_import(file: Path) -> None:
    done = run_script(LOADED, file)
    loaded = set(done.stdout.split())
    assert "proxy.worker.process" in loaded, done.stderr
    assert not loaded.intersection(NOT_AWAITED)


def test_workers_are_forked_first(file: Path) -> None:
    with started(file.parent, "-f", str(file), real=True) as program:
        titles = ["worker 0", "worker 1", "worker 2", "resolverd", "control"]
        wait_for(lambda: set(titles) <= set(program.titles()), PATIENCE_SECONDS, "all are there")
        # the kernel lists children in the order of their forks
        forked = [title for _, title in descendants(program.pid)]
        assert forked == [f"millrace: {title}" for title in titles]


def test_an_installation_without_control_does_not_start(file: Path) -> None:
    done = run_script(WITHOUT_CONTROL, file)
    assert done.returncode == 1
    assert "cannot start control: " in done.stderr
    assert "proxy.control.process" in done.stderr
