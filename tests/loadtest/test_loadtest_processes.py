"""The load test's handling of real processes: CPU accounting, ending of trees, a short real run."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from loadtest.cpu import (
    ProcessStat,
    process_tree,
    tree_cpu_seconds,
    tree_private_bytes,
    tree_pss_bytes,
)
from loadtest.interruption import Interruption
from loadtest.loads import LOADS
from loadtest.process import ProgramFailedError, output_of, running
from loadtest.programs import Program, haproxy_configuration
from loadtest.rounds import run_rounds
from loadtest.site import make_site
from loadtest.table import Results
from tests.support.common import PATIENCE_SECONDS, require_program, wait_for

EVERY_CORE = frozenset(os.sched_getaffinity(0))
GROWTH_BYTES = 30_000_000
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"

# A parent whose first child burns 0.3 s and is waited for, whose second one lives on and burns too.
FAMILY = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
living = subprocess.Popen([sys.executable, "-c", {BURN!r} + "import signal; signal.pause()"])
living.wait()
"""


@pytest.mark.slow
def test_cpu_time_of_living_and_of_ended_children_counts_once() -> None:
    with running([sys.executable, "-c", FAMILY], EVERY_CORE, subprocess.DEVNULL) as child:
        # Both burners use 0.3 s, which shows as up to a tick of utime and of stime less.
        used = wait_for(lambda: (now := tree_cpu_seconds(child.pid)) >= 0.55 and now, 30, "0.55 s")
        # With three interpreter starts beside; time counted twice would come to 0.9 s.
        assert used < 0.85


def test_memory_of_a_tree_is_counted_and_of_no_process_is_zero() -> None:
    assert tree_pss_bytes(os.getpid()) > tree_private_bytes(os.getpid()) > 1_000_000
    assert tree_pss_bytes(2**22 + 1) == tree_private_bytes(2**22 + 1) == 0


def test_memory_that_is_written_to_shows_in_the_private_part() -> None:
    before = tree_private_bytes(os.getpid())
    with mmap.mmap(-1, GROWTH_BYTES) as memory:
        memory.write(b"x" * GROWTH_BYTES)
        assert tree_private_bytes(os.getpid()) - before > 0.9 * GROWTH_BYTES


@pytest.mark.slow
def test_a_child_that_ignores_sigterm_is_ended_with_its_children() -> None:
    stubborn = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork();"
        "os.fork(); signal.pause()"
    )
    with running([sys.executable, "-c", stubborn], EVERY_CORE, subprocess.DEVNULL) as child:
        wait_for(lambda: len(process_tree(child.pid)) == 4, 10, "four processes")
        tree = process_tree(child.pid)
    wait_for(lambda: all(_gone(member.pid) for member in tree), 5, "the end of all four")


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_a_child_runs_on_its_core_only() -> None:
    core = min(EVERY_CORE)
    show = "import os; print(sorted(os.sched_getaffinity(0)))"
    assert output_of([sys.executable, "-c", show], frozenset({core}), 20.0) == f"[{core}]\n"


def test_a_load_generator_that_fails_or_hangs_is_reported() -> None:
    with pytest.raises(ProgramFailedError, match="status 3: no luck"):
        output_of([sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"],
                  EVERY_CORE, 20.0)  # fmt: skip
    with pytest.raises(ProgramFailedError, match="not done within"):
        output_of([sys.executable, "-c", "import signal; signal.pause()"], EVERY_CORE, 0.2)


def loadtest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "loadtest", "--rounds", "1", "--seconds", "1", *arguments]


@pytest.mark.quiet  # a program that gets less than a clock tick of its core has no figure
@pytest.mark.slow
def test_one_second_of_haproxy_gives_a_plausible_figure(tmp_path: Path) -> None:
    for program in ("haproxy", "nginx", "wrk"):
        require_program(program)
    raw = tmp_path / "raw.json"
    done = subprocess.run(
        loadtest("--only", "keepalive,resident", "--programs", "haproxy", "--json", str(raw)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CPU per keep-alive request" in done.stdout
    content = json.loads(raw.read_text())
    sample = content["samples"]["keepalive"]["haproxy"][0]
    assert 2 < sample["cpu_us"] < 500
    assert sample["cpu_us"] == pytest.approx(sample["cpu_seconds"] / sample["units"] * 1e6)
    assert content["samples"]["resident"]["haproxy"][0]["pss_mb"] > 1
    assert {"date", "commit", "cpu", "kernel", "haproxy"} <= content["surroundings"].keys()


@pytest.mark.quiet  # a program that gets less than a clock tick of its core has no figure
@pytest.mark.slow
def test_every_other_load_works_through_nginx(tmp_path: Path) -> None:
    for program in ("nginx", "wrk", "iperf3"):
        require_program(program)
    raw = tmp_path / "raw.json"
    done = subprocess.run(
        loadtest("--only", "close,bulk1,bulk1r,bulk8,idle", "--programs", "nginx",
                 "--json", str(raw)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )  # fmt: skip
    content = json.loads(raw.read_text())
    assert content["failures"] == [], done.stderr
    samples = {load: rounds["nginx"][0] for load, rounds in content["samples"].items()}
    assert 10 < samples["close"]["cpu_us"] < 1000
    assert all(0.05 < samples[load]["cpu_s_per_gb"] < 10 for load in ("bulk1", "bulk1r", "bulk8"))
    assert 100 < samples["idle"]["bytes_per_connection"] < 50_000


@pytest.mark.slow
def test_a_program_that_does_not_start_is_left_out_after_two_attempts(tmp_path: Path) -> None:
    require_program("nginx")
    broken = Program(
        name="broken",
        version="0",
        command=(sys.executable, "-c", "import sys; sys.exit('no such word')"),
        configuration=haproxy_configuration,
        arguments=lambda configuration, folder: (),
    )
    results = Results()
    run_rounds([broken], LOADS[:1], make_site(), 5, 1, lambda line: None, results)
    assert [failure.reason for failure in results.failures] == [
        "did not start: status 1: no such word"
    ] * 2


@pytest.mark.slow
def test_an_interrupted_run_prints_what_it_has_and_leaves_no_process(tmp_path: Path) -> None:
    for program in ("haproxy", "nginx", "wrk"):
        require_program(program)
    command = loadtest("--only", "keepalive", "--programs", "haproxy", "--rounds", "50",
                       "--json", str(tmp_path / "raw.json"))  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as harness:
        tree = wait_for(lambda: _with(harness.pid, b"wrk"), 30, "wrk at work")
        harness.send_signal(signal.SIGINT)
        output, _ = harness.communicate(timeout=PATIENCE_SECONDS)
    assert harness.returncode == 130
    assert "haproxy: 2." in output
    wait_for(lambda: all(_gone(member.pid) for member in tree[1:]), 5, "the end of all children")


def test_an_interruption_that_python_swallows_ends_the_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    interruption = Interruption()
    monkeypatch.setattr(sys, "unraisablehook", lambda swallowed: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        interruption.install()
        interruption.check()
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with(root: int, program: bytes) -> list[ProcessStat]:
    tree = process_tree(root)
    for member in tree:
        with suppress(FileNotFoundError):  # it may have ended since the tree was read
            words = Path(f"/proc/{member.pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(program) and b"-v" not in words:
                return tree
    return []
