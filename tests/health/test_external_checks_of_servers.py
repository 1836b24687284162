"""Programs that check servers of the running program: where these are, what else speaks for them.

Each program reads a line of a FIFO that the test holds open, and ends with that as its status: so
the test says when a check ends, and how.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.health.agent_peers import Agent, server_line
from tests.support.common import free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.supervisor.program import is_alive

pytestmark = pytest.mark.slow  # starts the program
CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
  nbthread 1
  external-check {preserve}
  insecure-fork-wanted
  setenv MARK of_the_file
  {more}
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 600s
resolvers dns
  nameserver scripted {{nameserver}}
  timeout resolve 100ms
  timeout retry 100ms
  hold obsolete 100ms
listen edge
  bind 127.0.0.1:{port}
  option external-check
  external-check path /usr/bin:/bin
  external-check command {script}
{servers}
"""
USUAL_SIGNALS = (1 << 31) - 1  # the C library has those behind them
SCRIPT = """#!/bin/sh
echo "$$ $3 $4 $HAPROXY_SERVER_NAME" >> {folder}/begun
env > {folder}/environment
ls /proc/self/fd > {folder}/descriptors
readlink /proc/self/fd/0 >> {folder}/descriptors
grep Sig /proc/self/status > {folder}/signals
grep NoNewPrivs /proc/self/status > {folder}/rights
read status < {folder}/fifo
exit $status
"""


class Checked:
    """The running program, and its programs."""

    def __init__(self, folder: Path, port: int, program: OneProgram, held: int) -> None:
        self.folder = folder
        self.port = port
        self.program = program
        self._held = held

    def begun(self) -> list[list[str]]:
        """Each program so far: its pid, address and port, and the name of its server."""
        with suppress(FileNotFoundError):
            return [line.split() for line in (self.folder / "begun").read_text().splitlines()]
        return []

    def await_begun(self, count: int) -> list[str]:
        """The last of so many programs."""
        return wait_for(lambda: self.begun()[count - 1 :], 10, f"{count} programs began")[0]

    def end(self, status: int, count: int = 1) -> None:
        """Let so many programs end with a status."""
        os.write(self._held, f"{status}\n".encode() * count)

    def row(self, name: str = "a") -> dict[str, str]:
        return self.program.rows()[name]

    def await_row(self, name: str = "a", **fields: str) -> None:
        def there() -> bool:
            row = self.row(name)
            return all(row[f"srv_{field}"] == value for field, value in fields.items())

        wait_for(there, 10, f"{name} has {fields}")

    def logged(self, text: str) -> bool:
        self.program.read()
        return any(text in line for _, line in self.program.lines)


@contextmanager
def checked(
    folder: Path,
    servers: str,
    zone: dict[str, str] | None = None,
    preserve: str = "",
    more: str = "",
) -> Iterator[Checked]:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    script = folder / "check.sh"
    script.write_text(SCRIPT.format(folder=folder))
    script.chmod(0o755)
    port = free_port()
    text = CONFIGURATION.format(
        port=port, script=script, servers=servers, preserve=preserve, more=more
    )
    try:
        with one_program(PROGRAMS["millrace"](), folder / "m", text, zone or {}) as running:
            yield Checked(folder, port, running, held)
    finally:
        os.close(held)


def test_a_program_sees_where_its_server_is_now(tmp_path: Path) -> None:
    """What is under way to a former address is killed, and counts for nothing."""
    line = "  server a web.test:80 check inter 50 fall 1 resolvers dns init-addr none\n"
    with checked(tmp_path, line, {"web.test": "127.0.0.2"}) as site:
        first = site.await_begun(1)
        assert first[1:] == ["127.0.0.2", "80", "a"]
        site.program.nameserver.set("web.test", "A", "127.0.0.3")
        second = site.await_begun(2)
        assert second[1:] == ["127.0.0.3", "80", "a"]
        wait_for(lambda: not is_alive(int(first[0])), 5, "the first program is gone")
        assert site.row()["srv_check_status"] == "1"
        site.end(0)
        site.await_row(check_status="20", check_health="2")
        assert not site.logged("DOWN")


def test_a_server_without_an_address_is_not_checked(tmp_path: Path) -> None:
    line = "  server-template w 2 web.test:80 check inter 50 resolvers dns init-addr none\n"
    with checked(tmp_path, line, {"web.test": "127.0.0.2"}) as site:
        assert site.await_begun(1)[1:] == ["127.0.0.2", "80", "w1"]
        site.end(0)
        site.await_begun(2)
        assert {name for *_, name in site.begun()} == {"w1"}


def test_orders_stop_and_start_programs(tmp_path: Path) -> None:
    with checked(tmp_path, "  server a 127.0.0.2:80 check inter 50\n") as site:
        for number, (off, on) in enumerate(
            (
                ("set server edge/a state maint", "set server edge/a state ready"),
                ("disable health edge/a", "enable health edge/a"),
            )
        ):
            pid = int(site.await_begun(number + 1)[0])
            site.program.ask(off)
            wait_for(lambda pid=pid: not is_alive(pid), 5, "the program is gone")
            site.program.ask(on)
        site.await_begun(3)
        site.program.ask("set server edge/a health down")
        site.await_row(op_state="0", check_health="0")
        site.end(0, 3)  # the runner may hear of the first before the order
        site.await_row(op_state="2", check_health="4")


def test_a_tracking_server_follows(tmp_path: Path) -> None:
    lines = "  server a 127.0.0.2:80 check inter 50 fall 1\n  server b 127.0.0.3:80 track a\n"
    with checked(tmp_path, lines) as site:
        site.await_begun(1)
        site.end(9)
        site.await_row("b", op_state="0")
        wait_for(lambda: site.logged("code: 9"), 5, "the end is logged")


def test_an_agent_speaks_beside_a_program(tmp_path: Path) -> None:
    with Agent() as agent:
        line = server_line("a", agent, "agent-inter 50 check inter 50 fall 1\n")
        with checked(tmp_path, line) as site:
            agent.say({"a": b"down\n"})
            site.await_row(op_state="0")
            site.await_begun(1)
            site.end(0)
            site.await_row(op_state="0", check_status="20")
            agent.say({"a": b"up\n"})
            site.await_row(op_state="2")


def test_sessions_that_cannot_connect_count_against_a_server(tmp_path: Path) -> None:
    nobody = free_port()
    line = (
        f"  server a 127.0.0.1:{nobody} check inter 1h observe layer4 error-limit 3 "
        "on-error mark-down\n"
    )
    with checked(tmp_path, line) as site:
        site.await_begun(1)
        site.end(0)
        site.await_row(check_status="20")

        def lost() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", site.port)) as client:
                client.recv(1)
            return site.row()["srv_op_state"] == "0"

        wait_for(lost, 10, "the server is down")
        assert site.row()["srv_check_status"] == "4"


def test_a_program_has_nothing_of_its_runner(tmp_path: Path) -> None:
    """No descriptor, no signal that is blocked or ignored; its input is at its end."""
    line = "  server a 127.0.0.2:80 check inter 1h\n"
    with standard_input(Path(__file__)), checked(tmp_path, line) as site:
        site.await_begun(1)
        wait_for((tmp_path / "rights").exists, 5, "it has told")
        runner = int(Path(f"/proc/{site.begun()[0][0]}/stat").read_text().split()[3])
        assert int(signals_of(Path(f"/proc/{runner}/status"))["SigIgn"], 16) & USUAL_SIGNALS
        told = (tmp_path / "descriptors").read_text().split()
        assert told == ["0", "1", "2", "3", os.devnull]  # the last number is of the listing
        for name in ("SigBlk", "SigIgn", "SigPnd"):
            assert int(signals_of(tmp_path / "signals")[name], 16) & USUAL_SIGNALS == 0, name


@contextmanager
def standard_input(file: Path) -> Iterator[None]:
    """What is started in the block has this file."""
    kept, opened = os.dup(0), os.open(file, os.O_RDONLY)
    try:
        os.dup2(opened, 0)
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(opened)


def signals_of(path: Path) -> dict[str, str]:
    """The sets of signals in a status file (proc(5)), in hexadecimal."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines if name.startswith("Sig")}


def test_the_global_section_says_what_a_program_has(tmp_path: Path) -> None:
    line = "  server a 127.0.0.2:80 check inter 1h\n"
    for preserve, more, kept in (("", "", False), ("preserve-env", "insecure-setuid-wanted", True)):
        folder = tmp_path / (preserve or "clean")
        folder.mkdir()
        with checked(folder, line, preserve=preserve, more=more) as site:
            site.await_begun(1)
            wait_for(lambda folder=folder: (folder / "rights").exists(), 5, "it has told")
            site.end(0)
            site.await_row(check_status="20")
        variables = (folder / "environment").read_text().splitlines()
        assert ("MARK=of_the_file" in variables) is kept
        assert "PATH=/usr/bin:/bin" in variables
        assert "HAPROXY_SERVER_NAME=a" in variables
        rights = (folder / "rights").read_text().split()
        before = Path("/proc/self/status").read_text().partition("NoNewPrivs:")[2].split()[0]
        assert rights[1] == (before if kept else "1")
