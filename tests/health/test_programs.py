"""One program at a time: how it ends, what a refusal of the kernel says, what a killed one leaves."""

from __future__ import annotations

import errno
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.model.checks import ProgramRights
from proxy.health.attempts import outcome_of
from proxy.health.check import Plan
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import Result
from proxy.health.judgement import Outcome
from proxy.health.share import programs_share
from proxy.health.target import CheckTarget, Limits
from proxy.runner.programs import Programs, RunningProgram, told_of
from proxy.server_table import ServerTable
from shm.check_status import KILLED_CODE, CheckStatus
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.config.loading import LISTEN, settings_of
from tests.support.supervisor.program import is_alive

PLAN = Plan(CheckTarget("127.0.0.2", 80), Limits(60_000))
NOBODY = 64_321  # a user without processes: its limit on them is its own


@contextmanager
def programs(script: Path, text: str, *, may_fork: bool = True) -> Iterator[Programs]:
    script.write_text(text)
    script.chmod(0o755)
    words = f"    option external-check\n    external-check command {script}\n"
    line = "    server s 127.0.0.2:80 check\n"
    servers = ServerTable(settings_of(f"global\n    external-check\n{LISTEN}{words}{line}"))
    told = told_of(servers, programs_share(servers), ProgramRights())
    made = Programs(told, lambda _slot: 0, lambda _text: None, may_fork=may_fork)
    try:
        yield made
    finally:
        made.close()


def begin(made: Programs) -> RunningProgram:
    begun = made.begin(0, PLAN, CONNECT_ONLY)
    assert isinstance(begun, RunningProgram), begun
    return begun


def await_end(pid: int) -> None:
    """Nobody takes the end here."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_one_that_ended_in_time_passes_though_it_is_heard_late(tmp_path: Path) -> None:
    with programs(tmp_path / "p", "#!/bin/sh\nexit 0\n") as made:
        program = begin(made)
        await_end(program.pid)
        [(found, outcome)] = made.expired(program.deadline_ms, 9)
        assert (found, outcome.status) == (program, CheckStatus.PROCOK)
        assert len(made) == 0


def test_one_that_a_signal_ends_is_told_from_one_with_a_status(tmp_path: Path) -> None:
    with programs(tmp_path / "p", "#!/bin/sh\nkill -KILL $$\n") as made:
        await_end(begin(made).pid)
        [(_, outcome)] = made.ended(9)
        assert (outcome.status, outcome.code) == (CheckStatus.PROCERR, KILLED_CODE)


def test_a_killed_one_has_its_place_until_it_is_gone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    held = os.open(tmp_path / "fifo", os.O_RDWR)
    text = f"#!/bin/sh\n(echo $$; read x < {tmp_path}/fifo) &\nread x < {tmp_path}/fifo\n"
    try:
        with programs(tmp_path / "p", text) as made:
            program = begin(made)
            assert made.expired(program.deadline_ms - 1, 9) == []
            [(_, outcome)] = made.expired(program.deadline_ms, 9)
            assert outcome.status is CheckStatus.PROCTOUT
            assert len(made) == 1
            assert select.select([made], [], [], PATIENCE_SECONDS)[0]
            assert made.ended(9) == []
            assert len(made) == 0
            wait_for(lambda: not is_alive(program.pid), 5, "it is gone")
    finally:
        os.close(held)


def test_one_that_left_its_group_is_killed_too(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], process_group=0) as other:
        try:
            joins = f"import os, time; os.setpgid(0, {other.pid}); time.sleep(600)"
            text = f"#!/bin/sh\nexec {sys.executable} -c '{joins}'\n"
            with programs(tmp_path / "p", text) as made:
                program = begin(made)
                wait_for(lambda: os.getpgid(program.pid) == other.pid, 10, "it left its group")
                [(_, outcome)] = made.expired(program.deadline_ms, 9)
                assert outcome.status is CheckStatus.PROCTOUT
                wait_for(lambda: made.ended(9) == [] and len(made) == 0, 5, "its place is free")
                assert not is_alive(program.pid)
                assert other.poll() is None
        finally:
            other.kill()


def in_a_child(body: Callable[[], bool]) -> bool:
    """Whether this is true in a child process, which may change its limits and its user."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if body() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("may_fork", [True, False])
def test_a_refused_fork_says_nothing_of_the_server_unless_none_is_granted(
    tmp_path: Path, may_fork: bool
) -> None:
    with programs(tmp_path / "p", "#!/bin/sh\n", may_fork=may_fork) as made:

        def refused() -> bool:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            os.setuid(NOBODY)
            outcome = made.begin(0, PLAN, CONNECT_ONLY)
            assert isinstance(outcome, Outcome)
            wanted = (CheckStatus.SOCKERR, errno.EAGAIN)
            return (
                (outcome.status, outcome.code) == wanted
                and outcome.own_fault is may_fork
                and len(made) == 0
            )

        assert in_a_child(refused)


def test_no_descriptor_left_is_no_fault_of_the_server(tmp_path: Path) -> None:
    with programs(tmp_path / "p", "#!/bin/sh\n") as made:

        def refused() -> bool:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            outcome = made.begin(0, PLAN, CONNECT_ONLY)
            assert isinstance(outcome, Outcome)
            wanted = (CheckStatus.SOCKERR, errno.EMFILE)
            return (
                (outcome.status, outcome.code) == wanted and outcome.own_fault and not has_child()
            )

        assert in_a_child(refused)


def has_child() -> bool:
    """Whether some child was left, living or not."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def test_a_check_of_hours_has_a_duration_that_records_hold() -> None:
    hours_ago = time.monotonic_ns() - 2 * 3_600 * 10**9
    assert outcome_of(Result(CheckStatus.PROCOK), hours_ago).duration_us == 2**32 - 1
