"""The systemd unit: how much it leaves open, and that the program does with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program
from tests.support.program.program import NamedBackend, Program, greet

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "millrace.service"
EXPOSURE_MAX = 2.5
HOST = "127.44.34.1"
ALWAYS = {"execve", "restart_syscall", "arch_prctl", "rt_sigreturn", "exit", "exit_group"}
WRAPPER = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE
    sys.exit("no Linux 6.3: memory stays writable and executable")
os.execvp(sys.argv[1], sys.argv[1:])
"""
CONFIGURATION = """
global
    nbthread 2
    log /dev/log local0
    stats socket {{socket}} level admin
    pidfile {pidfile}
    server-state-base {folder}
    server-state-file states
resolvers dns
    nameserver ns1 {host}:53
    timeout retry 100ms
    parse-resolv-conf
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    load-server-state-from-file global
listen web
    bind {host}:{port}
    acl local src,concat(!) -m reg ^127.*!$
    tcp-request connection reject if !local
    option httpchk
    http-check expect rstatus ^2..
    server a {host}:{backend}
    server b name.test.:80 check resolvers dns init-addr none backup
    server c 127.0.0.1:1 check backup inter 100ms
    server d localhost:1 backup
frontend page
    mode http
    bind {host}:{page}
    stats enable
"""


def test_a_reload_is_ordered_where_the_program_listens_for_it() -> None:
    unit = UNIT.read_text()
    assert re.search(r"^ExecStart=.* -Ws .* -S \$\{MASTER\},mode,600$", unit, re.MULTILINE)
    reloads = re.findall(r"^ExecReload=(.*)$", unit, re.MULTILINE)
    assert reloads == ["/usr/bin/millrace -S ${MASTER} reload"]


def test_little_is_exposed() -> None:
    analyze = require_program("systemd-analyze")
    told = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", UNIT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    overall = re.search(r"Overall exposure level for millrace.service: ([0-9.]+)", told.stdout)
    assert overall is not None, told
    assert float(overall[1]) <= EXPOSURE_MAX
    assert re.search(r"^✗ User=", told.stdout, re.MULTILINE) is None


def test_the_unit_is_understood(tmp_path: Path) -> None:
    """Programs that it names need not be there."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/millrace", "/bin/true"))
    told = subprocess.run(
        [require_program("systemd-analyze"), "verify", "--man=no", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert [line for line in told.stderr.splitlines() if "millrace" in line] == []


def allowed_calls() -> set[str]:
    """The system calls of the unit's SystemCallFilter=, as systemd counts them."""
    listed = subprocess.run(
        [require_program("systemd-analyze"), "syscall-filter", "--no-pager"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    groups: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if line.startswith("@"):
            words = groups.setdefault(line.strip(), [])
        elif line.startswith(" ") and not line.strip().startswith("#"):
            words.append(line.strip())

    def calls(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*(calls(word) for word in groups[name]))

    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        named = set().union(*(calls(word) for word in line.removeprefix("~").split()))
        found = found - named if line.startswith("~") else found | named
    return found | calls("@default") | ALWAYS


@pytest.mark.slow
def test_the_program_does_with_what_the_unit_allows(tmp_path: Path) -> None:
    """System calls, families of sockets and memory, from the start over a reload to the end."""
    pidfile, master = tmp_path / "pid", tmp_path / "master"
    traces = (tmp_path / "trace", tmp_path / "trace of the reload")
    (tmp_path / "states").touch()
    wrapper, reloading = (
        (
            *(require_program("strace"), "-f", "-qq", "-o", str(trace)),
            *("-e", "signal=none", sys.executable, "-c", WRAPPER),
        )
        for trace in traces
    )
    port, page, backend = free_port(), free_port(), NamedBackend(HOST, 0)
    text = CONFIGURATION.format(
        host=HOST, port=port, page=page, backend=backend.port, pidfile=pidfile, folder=tmp_path
    )
    program = Program(tmp_path, text, "-W", "-S", f"{master},mode,600", wrapper=wrapper)
    try:
        main = int(pidfile.read_text())
        greeted = greet((HOST, port))
        assert greeted is not None
        reload = (*reloading, sys.executable, "-m", "proxy", "-S", str(master), "reload")
        done = subprocess.run(reload, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        assert done.returncode == 0, done
        greeted[1].close()
        os.kill(main, signal.SIGUSR1)
        assert program.process.wait(60) == 0
    finally:
        if program.process.poll() is None:
            os.kill(int(pidfile.read_text()), signal.SIGKILL)
            program.process.wait()
        backend.close()
    calls = re.findall(
        r"^\d+ +(?:<\.\.\. )?(\w+)[ (](.*)",
        "".join(trace.read_text() for trace in traces),
        re.MULTILINE,
    )
    used = {name for name, _ in calls}
    assert {"accept4", "memfd_create", "prctl"} <= used  # it was seen at work
    assert used - allowed_calls() == set()
    families = {
        match[0]
        for name, rest in calls
        if name == "socket" and (match := re.match("AF_[A-Z0-9]+", rest))
    }
    named = re.search(r"^RestrictAddressFamilies=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert named is not None
    assert families <= set(named[1].split())
