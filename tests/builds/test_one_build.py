"""No process runs two builds mixed: nothing is imported late, or what changed is refused."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.installed import Installed
from tests.support.program.program import Program

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
resolvers dns
    nameserver ns1 127.44.31.2:53
defaults
    mode tcp
    timeout connect 9s
    timeout client 9s
    timeout server 9s
listen web
    bind 127.44.31.1:{port}
    server a 127.44.31.1:1 check
    server b b.test:1 resolvers dns init-addr none
frontend page
    mode http
    bind 127.44.31.1:{page}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
"""
COMMANDS = (
    *("help", "show info", "show stat", "show stat json", "show servers state", "show resolvers"),
    *("show sess", "show config", "show events", "show why web/a", "show fd", "show pools"),
    *("show libs", "show threads", "show tasks", "show schema json", "show errors", "show env"),
    *("show table", "show map", "show acl", "set server web/a state maint"),
)
IMPORTED_LATER = """
from proxy.builds.installed import OtherBuildError, note_build, of_one_build
import os, sys
note_build()
with of_one_build():
    import shm.shape
os.utime({changed!r}, (1, 1))
try:
    with of_one_build():
        import shm.steady
except OtherBuildError as error:
    print(error)
print("shm.shape" in sys.modules, "shm.steady" in sys.modules)
"""
CHANGED_WHILE_IT_STARTS = """
from proxy.builds.installed import note_build
import os, sys
note_build()
os.utime({changed!r}, (1, 1))
from proxy.cli import run
sys.exit(run(["-db", "-f", {file!r}]))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path / "installed")


def run_script(installed: Installed, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed.command[0], "-c", script],
        env=installed.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def file_of(folder: Path) -> str:
    file = folder / "edge.cfg"
    text = CONFIGURATION.format(port=free_port(), page=free_port())
    file.write_text(text.replace("{socket}", str(folder / "stats.sock")))
    return str(file)


def a_changed_file(installed: Installed) -> str:
    """Of no module that the scripts import."""
    installed.change("proxy/demo/world.py")
    return str(installed.folder / "proxy/demo/world.py")


def test_what_is_imported_after_a_change_is_refused_and_forgotten(installed: Installed) -> None:
    changed = a_changed_file(installed)
    done = run_script(installed, IMPORTED_LATER.format(changed=changed))
    assert done.stdout.splitlines()[-1] == "True False", done.stderr
    assert "another build of the program is on disk" in done.stdout


def test_a_program_does_not_start_whose_files_change_meanwhile(
    installed: Installed, tmp_path: Path
) -> None:
    script = CHANGED_WHILE_IT_STARTS.format(
        changed=a_changed_file(installed), file=file_of(tmp_path)
    )
    done = run_script(installed, script)
    assert done.returncode == 1
    assert "another build of the program is on disk" in done.stderr


@pytest.mark.slow
def test_no_process_imports_anything_once_it_serves(tmp_path: Path) -> None:
    """The interpreter tells each import of each process on standard error."""
    page = free_port()
    text = CONFIGURATION.format(port=free_port(), page=page)
    told = {"PYTHONPROFILEIMPORTTIME": "1"}
    with Program(tmp_path, text, environ=told, executed=True) as program:
        program.children()
        begun = program.output.read_text()
        assert "proxy.control.rows" in begun
        for command in COMMANDS:
            program.ask(command)
        for path in ("/", "/metrics"):
            with socket.create_connection(("127.44.31.1", page), PATIENCE_SECONDS) as client:
                client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                while client.recv(65_536):
                    pass
        program.process.send_signal(signal.SIGUSR2)
        serves = "generation 2 serves"
        wait_for(lambda: serves in program.output.read_text(), PATIENCE_SECONDS, "a reload")
        later = program.output.read_text().removeprefix(begun)
        assert "import time:" not in later
