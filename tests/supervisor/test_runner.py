"""No program of an external check outlives its runner, whatever ends that; its successor goes on.

Programs are shells with children that read a FIFO, which the test holds open: what survives would
run until the end of the test.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.generated import sample
from tests.support.program.program import Program
from tests.support.supervisor.program import is_alive

pytestmark = pytest.mark.slow  # starts the program
CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    external-check
    insecure-fork-wanted
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    timeout check {limit}
listen web
    bind 127.0.0.1:{port}
    option external-check
    external-check path /usr/bin:/bin
    external-check command {script}
{servers}
frontend metrics
    bind 127.0.0.1:{metrics}
    mode http
    http-request use-service prometheus-exporter if {{ path /metrics }}
"""
# The first shell leads the group, the second is a child in it, the third in a group of its own.
HANGS = """#!/bin/bash
trap '' TERM
sh -c 'trap "" TERM; read x < {fifo}' &
set -m
sh -c 'trap "" TERM; read x < {fifo}' &
read x < {fifo}
"""
PROCESSES_OF_ONE = 3
TITLE = "runner"


def session_members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def guard_of(runner: int) -> int:
    def titled() -> list[int]:  # it takes its title after the fork
        titles = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in session_members(runner)}
        return [pid for pid, title in titles.items() if title.startswith("millrace: guard")]

    [guard] = wait_for(titled, PATIENCE_SECONDS, "the guard has its title")
    return guard


def leaders(session: int) -> int:
    """How many programs of a runner there are: each leads a group, as the runner itself does."""
    members = session_members(session)
    return sum(os.getpgid(pid) == pid for pid in members if is_alive(pid)) - 1


class Hanging:
    """A program with servers whose checks hang until `let_go`."""

    def __init__(self, folder: Path, servers: str, limit: str, script: str = HANGS) -> None:
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        self.held: int | None = os.open(self.fifo, os.O_RDWR)
        self.script = folder / "check.sh"
        self.script.write_text(script.format(fifo=self.fifo))
        self.script.chmod(0o755)
        self.port, self.metrics = free_port(), free_port()
        text = CONFIGURATION.format(
            port=self.port,
            script=self.script,
            servers=servers,
            limit=limit,
            metrics=self.metrics,
        )
        self.program = Program(folder, text)

    @property
    def runner(self) -> int:
        """The pid of the runner that is there now; it leads the session of its programs."""

        def one() -> int:
            found = self.program.titled_children().get(TITLE, [])
            led = [pid for pid in found if is_alive(pid) and os.getsid(pid) == pid]
            return led[0] if len(led) == 1 else 0

        return wait_for(one, 10, "there is a runner")

    def programs(self, count: int = PROCESSES_OF_ONE) -> int:
        """The session of a runner that has so many processes beside itself and its guard."""

        def enough() -> int:
            runner = self.runner
            return runner if len(session_members(runner)) >= 2 + count else 0

        return wait_for(enough, 10, f"{count} processes of programs")

    def successor(self, former: int) -> int:
        """The runner behind another, once that has programs, too."""
        wait_for(lambda: self.runner != former, 10, "another runner")
        return self.programs()

    def let_pass(self) -> None:
        """Give a line to each that reads the FIFO, and to those to come."""
        assert self.held is not None
        os.write(self.held, b"\n" * 60_000)

    def reloads(self) -> int:
        return self.program.output.read_text().count("reload done")

    def let_go(self) -> None:
        """End what reads the FIFO."""
        if self.held is not None:
            os.close(self.held)
            self.held = None


@contextmanager
def hanging(
    folder: Path,
    servers: int = 1,
    line: str = "check inter 50",
    limit: str = "60s",
    port: int = 1,
) -> Iterator[Hanging]:
    """`port` of all servers."""
    lines = "".join(f"    server s{number} 127.0.0.1:{port} {line}\n" for number in range(servers))
    made = Hanging(folder, lines, limit)
    try:
        with made.program:
            yield made
    finally:
        made.let_go()


def await_gone(session: int) -> None:
    wait_for(lambda: not session_members(session), 5, f"nothing is left of session {session}")


def test_a_file_without_programs_has_no_runner(tmp_path: Path) -> None:
    text = CONFIGURATION.format(
        port=free_port(), script="/bin/true", servers="", limit="1s", metrics=free_port()
    )
    with Program(tmp_path, text) as program:
        assert set(program.children()) == {"control", "worker"}


def test_no_program_outlives_a_runner_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with hanging(tmp_path, servers=4, line="check inter 40", limit="80") as made:
        runner = made.programs()
        for _ in range(sample(6, 300)):
            time.sleep(chance.random() * 0.1)  # at any moment
            os.kill(runner, signal.SIGKILL)
            await_gone(runner)
            runner = made.successor(runner)
        assert "failed" not in made.program.output.read_text()


def test_a_stopped_runner_is_replaced_and_its_programs_end(tmp_path: Path) -> None:
    with hanging(tmp_path) as made:
        runner = made.programs()
        stand_still(runner)
        assert made.successor(runner)
        await_gone(runner)
        told = f"runner ({runner}) does not answer"
        wait_for(lambda: told in made.program.output.read_text(), PATIENCE_SECONDS, told)


def test_a_runner_whose_guard_is_killed_has_a_successor(tmp_path: Path) -> None:
    with hanging(tmp_path) as made:
        runner = made.programs()
        os.kill(guard_of(runner), signal.SIGKILL)
        assert made.successor(runner)
        await_gone(runner)


@pytest.mark.parametrize("stopped", [False, True])
def test_programs_end_with_a_killed_supervisor(tmp_path: Path, stopped: bool) -> None:
    with hanging(tmp_path) as made:
        runner = made.programs()
        if stopped:
            stand_still(runner)
        made.program.process.kill()
        made.program.process.wait(PATIENCE_SECONDS)
        await_gone(runner)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_programs_end_with_the_program(tmp_path: Path, number: signal.Signals) -> None:
    with hanging(tmp_path) as made:
        runner = made.programs()
        made.program.process.send_signal(number)
        made.program.process.wait(PATIENCE_SECONDS)
        assert not session_members(runner)


def test_the_supervisor_ends_programs_where_the_guard_does_not(tmp_path: Path) -> None:
    with hanging(tmp_path) as made:
        runner = made.programs()
        os.kill(guard_of(runner), signal.SIGSTOP)
        os.kill(runner, signal.SIGKILL)
        assert made.successor(runner)
        assert not session_members(runner)


def test_a_group_is_killed_at_its_time(tmp_path: Path) -> None:
    """HAProxy asks the leader to end, and leaves the rest."""
    told = tmp_path / "told"
    script = (
        "#!/bin/sh\ntrap '' TERM\n"
        f"sh -c 'echo $$ >> {told}; read x < {{fifo}}' &\n"
        f"echo $$ >> {told}; read x < {{fifo}}\n"
    )
    made = Hanging(tmp_path, "    server s0 127.0.0.1:1 check inter 1h\n", "300", script)
    with made.program:
        pids = wait_for(lambda: read_numbers(told, 2), 10, "the program and its child run")
        wait_for(lambda: not any(map(is_alive, pids)), 5, "both are killed")
        assert made.program.servers("web")["s0"]["srv_check_status"] == "19"
    made.let_go()


def read_numbers(path: Path, count: int) -> list[int]:
    """The numbers in a file, once there are so many."""
    numbers = [int(word) for word in path.read_text().split()] if path.exists() else []
    return numbers if len(numbers) == count else []


def test_a_reload_ends_the_programs_of_the_former_generation(tmp_path: Path) -> None:
    """At once, though the former workers still have a session."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        hanging(tmp_path, port=listening.getsockname()[1]) as made,
    ):
        runner = made.programs()
        client = socket.create_connection(("127.0.0.1", made.port), PATIENCE_SECONDS)
        server = listening.accept()[0]
        made.program.process.send_signal(signal.SIGUSR2)
        wait_for(made.reloads, 10, "the reload")
        await_gone(runner)
        assert made.successor(runner)
        client.sendall(b"still there")
        assert server.recv(20) == b"still there"
        client.close()
        server.close()


def test_health_is_carried_over_deaths_and_reloads(tmp_path: Path) -> None:
    lines = "    server s0 127.0.0.1:1 check inter 1h fastinter 10 downinter 1h rise 2 fall 2\n"
    made = Hanging(tmp_path, lines, "60s", "#!/bin/sh\nexit 3\n")
    made.let_go()

    def state() -> tuple[str, ...]:
        row = made.program.servers("web")["s0"]
        names = ("srv_op_state", "srv_check_status", "srv_check_health")
        return tuple(row[name] for name in names)

    with made.program:
        wait_for(lambda: state() == ("0", "18", "0"), 10, "the server is down")
        runner = made.runner
        os.kill(runner, signal.SIGKILL)
        wait_for(lambda: made.runner != runner, 10, "another runner")
        assert state() == ("0", "18", "0")
        made.program.process.send_signal(signal.SIGUSR2)
        wait_for(made.reloads, 10, "the reload")
        made.program.wait_until_answering()
        assert state() == ("0", "18", "0")


def test_a_reload_takes_a_server_to_another_kind_of_check_and_back(tmp_path: Path) -> None:
    lines = "    server s0 127.0.0.1:1 check inter 1h downinter 1h fall 1\n"
    made = Hanging(tmp_path, lines, "60s", "#!/bin/sh\nexit 3\n")
    made.let_go()
    text = made.program.file.read_text()
    other = text.replace("option external-check", "option redis-check")

    def state() -> tuple[str, ...]:
        row = made.program.servers("web")["s0"]
        return row["srv_op_state"], row["srv_check_status"]

    with made.program:
        wait_for(lambda: state() == ("0", "18"), 10, "the server is down")
        for number, (content, kinds) in enumerate(
            ((other, {"control", "worker"}), (text, {"control", "worker", TITLE})), 1
        ):
            made.program.write(content)
            made.program.process.send_signal(signal.SIGUSR2)
            wait_for(lambda n=number: made.reloads() == n, 10, "the reload")
            wait_for(lambda k=kinds: set(made.program.children()) == k, 10, f"{kinds} are there")
            made.program.wait_until_answering()
            assert state() == ("0", "18")


def counted_late(made: Hanging) -> int:
    name = b"millrace_external_checks_late_total "
    with urlopen(f"http://127.0.0.1:{made.metrics}/metrics", timeout=PATIENCE_SECONDS) as page:
        [line] = [line for line in page if line.startswith(name)]
    return int(float(line.split()[1]))


def test_at_most_64_programs_run_and_who_waits_is_counted(tmp_path: Path) -> None:
    simple = "#!/bin/sh\nread x < {fifo}\n"
    lines = "".join(f"    server s{n} 127.0.0.1:1 check inter 100 rise 1\n" for n in range(80))
    made = Hanging(tmp_path, lines, "600s", simple)
    try:
        with made.program as program:
            runner = made.runner
            wait_for(lambda: leaders(runner) >= 64, 10, "64 programs")
            assert leaders(runner) == 64
            time.sleep(0.2)  # more than inter: by the clock, all others are due now
            rows = program.servers("web").values()
            assert sum(int(row["srv_check_state"]) & 1 for row in rows) == 64
            made.let_pass()
            wait_for(
                lambda: all(
                    row["srv_check_status"] == "20" for row in program.servers("web").values()
                ),
                20,
                "all servers were checked",
            )
            wait_for(lambda: counted_late(made) >= 16, 10, "16 checks were late")
    finally:
        made.let_go()
