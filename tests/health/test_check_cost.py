"""CPU time of a TCP health check, against Debian's HAProxy in the same run.

CPU time is each process's own, user and system, from its threads' schedstat. The absolute figure
depends on the machine and on what else it does; the ratio holds, as both run at the same time.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.model import Check
from tests.support import free_port, require_program
from tests.support_worker import Backend, Spec, checking, settings_of, site

SERVERS = 500
INTER_MS = 200
MEASURED_SECONDS = 2.0
ROUNDS = 3
RATIO_MAX = 3.0  # twice where nothing else runs; caches that others fill cost the larger one more


def cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9


def microseconds_per_check(*pids: int) -> list[float]:
    time.sleep(2 * INTER_MS / 1000 + 0.5)  # past the start
    began, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    time.sleep(MEASURED_SECONDS)
    spent = [cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True)]
    checks = SERVERS * (time.monotonic() - began) * 1000 / INTER_MS
    return [each / checks * 1e6 for each in spent]


@contextmanager
def haproxy(backend: Backend, folder: Path) -> Iterator[int]:
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
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@pytest.mark.quiet
@pytest.mark.slow
def test_a_check_costs_at_most_three_times_what_haproxy_spends(tmp_path: Path) -> None:
    backend = Backend("127.77.6.1").open()
    specs = [Spec(backend.host, backend.port, Check(inter_ms=INTER_MS))] * SERVERS
    theirs, ours = [], []
    for _ in range(ROUNDS):
        with haproxy(backend, tmp_path) as pid, site(settings_of(specs)) as made:
            one, other = microseconds_per_check(pid, checking(made).pids[0])
        theirs.append(one)
        ours.append(other)
    backend.close()
    told = f"haproxy {sorted(theirs)} us, checker {sorted(ours)} us a check"
    assert sorted(ours)[ROUNDS // 2] <= RATIO_MAX * sorted(theirs)[ROUNDS // 2], told
