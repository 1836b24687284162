"""CPU time of a TCP health check, against Debian's HAProxy in the same run.

CPU time is each process's own, user and system, from its threads' schedstat. The absolute figure
depends on the machine and on what else it does; the ratio holds. Checks are counted by the kernel: a
busy machine makes fewer.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from proxy.config.model.settings import Check
from tests.support.common import free_port, require_program, wait_for
from tests.support.generated import LONG
from tests.support.relay.worker import Backend, Spec, checking, settings_of, site

SERVERS = 500
INTER_MS = 200
MEASURED_CHECKS = 2_500  # a second's
ROUNDS = 3
# The goal; 1.05 to 1.3 was seen on an AMD machine, busy with other things.
RATIO_MAX = 2.0


def cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9


def connects() -> int:
    """How many the kernel has begun in this network."""
    names, values = [
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if "Tcp:" in line
    ]
    return int(values[names.index("ActiveOpens")])


def microseconds_per_check(pid: int) -> float:
    time.sleep(2 * INTER_MS / 1000 + 0.5)  # past the start
    checks, spent = connects(), cpu_seconds(pid)
    wait_for(lambda: connects() >= checks + MEASURED_CHECKS, 2, "checks", step=0.1)
    return (cpu_seconds(pid) - spent) / (connects() - checks) * 1e6


def of_checker(backend: Backend) -> float:
    spec = Spec(backend.host, backend.port, Check(inter_ms=INTER_MS))
    with site(settings_of([spec] * SERVERS)) as made:
        return microseconds_per_check(checking(made).pids[0])


def of_haproxy(backend: Backend, folder: Path) -> float:
    lines = [
        "global\n nbthread 1\ndefaults\n mode tcp",
        " timeout connect 2s\n timeout client 600s\n timeout server 600s",
        f"listen be\n bind 127.0.0.1:{free_port()}",
    ]
    lines += [
        f" server s{number} {backend.host}:{backend.port} check inter {INTER_MS}ms"
        for number in range(SERVERS)
    ]
    configuration = folder / "haproxy.cfg"
    configuration.write_text("\n".join(lines) + "\n")
    command = [require_program("haproxy"), "-db", "-f", str(configuration)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        return microseconds_per_check(process.pid)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a ratio of times, in the long run: make long")
def test_a_check_costs_at_most_twice_what_one_of_haproxy_costs(tmp_path: Path) -> None:
    backend = Backend("127.77.6.1").open()
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(of_haproxy(backend, tmp_path))
        ours.append(of_checker(backend))
    backend.close()
    told = f"haproxy {sorted(theirs)} us, checker {sorted(ours)} us a check"
    assert sorted(ours)[ROUNDS // 2] <= RATIO_MAX * sorted(theirs)[ROUNDS // 2], told
