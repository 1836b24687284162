"""`millrace -c --against <stats socket>`: what a reload of a file would change, before it is one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.program.program import Program

CONFIGURATION = """global
  stats socket {socket} level admin
  maxconn 200
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:@1@
  bind 127.0.0.1:@2@
  default_backend be
backend be
  server s1 127.0.0.1:10 weight 10
  server s2 127.0.0.1:11
backend gone
  server g1 127.0.0.1:12
userlist people
  user boss insecure-password hush
"""
EDITS = (
    ("maxconn 200", "maxconn 300"),
    ("client 30s", "client 60s"),
    ("  bind 127.0.0.1:@1@\n", ""),
    ("backend gone\n  server g1 127.0.0.1:12\n", ""),
    ("server s1 127.0.0.1:10 weight 10", "server s1 127.0.0.1:10 weight 30"),
    ("  server s2 127.0.0.1:11\n", "  server s2 127.0.0.1:11\n  server s3 127.0.0.1:13\n"),
    ("insecure-password hush", "insecure-password other"),
)
NEW = """frontend more
  bind 127.0.0.1:@1@,127.0.0.1:@3@
  default_backend be
"""


class Edge:
    """The program, and a file beside that it was not started with."""

    def __init__(self, program: Program, ports: list[int]) -> None:
        self.program = program
        self.ports = ports
        self.file = program.folder / "new.cfg"
        self.text = program.file.read_text()

    def filled(self, text: str) -> str:
        for number, port in enumerate(self.ports, 1):
            text = text.replace(f"@{number}@", str(port))
        return text

    def write(self, *edits: tuple[str, str], more: str = "") -> None:
        text = self.text
        for old, new in edits:
            assert self.filled(old) in text
            text = text.replace(self.filled(old), self.filled(new))
        self.file.write_text(text + self.filled(more))

    def compare(self, *words: str) -> tuple[int, list[str], str]:
        """Status, what is said of the reload, and standard error."""
        socket_words = words or ("--against", str(self.program.socket_path))
        ran = subprocess.run(
            [sys.executable, "-m", "proxy", "-c", "-f", str(self.file), *socket_words],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = ran.stdout.replace(str(self.program.file), "F").replace(str(self.file), "N")
        return ran.returncode, lines.splitlines(), ran.stderr


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    ports = [free_port() for _ in range(3)]
    text = CONFIGURATION
    for number, port in enumerate(ports, 1):
        text = text.replace(f"@{number}@", str(port))
    with Program(tmp_path, text) as program:
        yield Edge(program, ports)


def test_the_same_file_changes_nothing(edge: Edge) -> None:
    edge.write()
    status, lines, _ = edge.compare()
    assert status == 0
    assert lines[0] == "Configuration file is valid"
    assert re.fullmatch(
        rf"Against {edge.program.socket_path} \(loaded \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, "
        r"generation 1\):",
        lines[1],
    )
    assert lines[2:] == [
        "a reload would change nothing",
        "not compared: the secrets of 1 line",
    ]


def test_sections_servers_sockets_limits_and_orders(edge: Edge) -> None:
    for order in ("set weight be/s1 20", "disable server be/s2", "set maxconn frontend web 50"):
        edge.program.ask(order)
    edge.program.ask("add server be/s3 127.0.0.1:13; add server be/s9 127.0.0.1:19")
    edge.write(*EDITS, more=NEW)
    status, lines, _ = edge.compare()
    assert status == 0
    by = rf"by uid {os.getuid()} \(pid \d+\), [\w/:.]+"
    one, _, three = edge.ports
    assert [re.sub(by, "BY", line) for line in lines[2:]] == [
        "sections: 2",
        "  N:19: frontend more: + section (2 lines)",
        "  F:17: backend gone: - section (1 line)",
        "servers: 3",
        "  N:14: backend be: server s1 weight: 10 -> 30",
        "  N:16: backend be: + server s3 127.0.0.1:13",
        "  F:18: backend gone: - server g1 127.0.0.1:12",
        "sockets: 2",
        f"  F:11: frontend web: - bind 127.0.0.1:{one}; stays open",
        f"  N:20: frontend more: + bind 127.0.0.1:{one},127.0.0.1:{three}; opened",
        "limits: 1",
        "  N:3: global: maxconn: 200 -> 300",
        "other lines: 1",
        "  N:8: defaults: timeout client: 30s -> 60s; for frontend web, backend be, frontend more",
        "orders at run time that are lost: 3",
        "  N:10: frontend web: maxconn 200 -> 50, BY; a reload loses it",
        "  N:14: backend be: server s1 weight 10 -> 20, BY; the files say something else than "
        "before: a reload goes by them",
        "  backend be: server s9 127.0.0.1:19 added BY; a reload loses it",
        "orders at run time that are not lost: 2",
        "  N:15: backend be: server s2 state ready -> maint, BY; a reload keeps it",
        "  N:16: backend be: server s3 127.0.0.1:13 added BY; the files say so by now",
        "not compared: the secrets of 1 line",
    ]
    edge.program.file.write_text(edge.file.read_text())
    edge.program.process.send_signal(signal.SIGUSR2)
    loaded = lambda: "generation 2" in edge.compare()[1][1]  # noqa: E731 - used once
    wait_for(loaded, 60, "the reload")
    servers = edge.program.servers("be")
    assert {name: row["srv_admin_state"] for name, row in servers.items()} == {
        "s1": "0",
        "s2": "1",
        "s3": "1",
    }
    assert servers["s1"]["srv_uweight"] == "30"


def test_a_port_that_is_given_up_is_closed(edge: Edge) -> None:
    edge.write(("  bind 127.0.0.1:@2@\n", ""))
    first, second, _ = edge.ports
    assert f"  F:12: frontend web: - bind 127.0.0.1:{second}; closed" in edge.compare()[1]
    edge.write(("  bind 127.0.0.1:@1@\n", "  bind 127.0.0.1:@1@ maxconn 7\n"))
    changed = f"  N:11: frontend web: bind 127.0.0.1:{first}: (none) -> maxconn 7"
    assert edge.compare()[1][3:5] == [changed, "not compared: the secrets of 1 line"]


def test_files_of_patterns_that_have_changed_are_named(edge: Edge) -> None:
    patterns = edge.program.folder / "bad.lst"
    patterns.write_text("10.0.0.1\n")
    rule = f"frontend web\n  tcp-request connection reject if {{ src -f {patterns} }}\n"
    edge.write(("frontend web\n", rule))
    edge.program.file.write_text(edge.file.read_text())
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: edge.compare()[1][2] == "a reload would change nothing", 60, "the reload")
    patterns.write_text("10.0.0.2\n")
    changed = ["files of patterns that have changed: 1", f"  acl {patterns}"]
    assert edge.compare()[1][2:4] == changed
    edge.program.ask(f"add acl {patterns} 10.0.0.3")
    entries = f"  acl {patterns}: entries: 1 added"
    patterns.write_text("10.0.0.1\n")
    lost = f"{entries}; a reload loses it"
    assert edge.compare()[1][2:4] == ["orders at run time that are lost: 1", lost]
    patterns.write_text("10.0.0.1\n10.0.0.3\n")
    said = ["orders at run time that are not lost: 1", f"{entries}; the files say so by now"]
    assert edge.compare()[1][2:6] == [*changed, *said]


def test_what_cannot_be_compared_is_an_error(edge: Edge) -> None:
    edge.write()
    status, lines, said = edge.compare("--against", f"{edge.program.folder}/none.sock")
    assert (status, lines) == (1, ["Configuration file is valid"])
    assert said.endswith(f"--against {edge.program.folder}/none.sock: No such file or directory\n")
    edge.write(("level admin", "level user"))
    edge.program.file.write_text(edge.file.read_text())
    edge.program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: edge.compare()[0] == 1, 60, "the level")
    assert "does not tell what it runs: Permission denied" in edge.compare()[2]
    edge.file.write_text("nonsense\n")
    status, lines, said = edge.compare()
    assert (status, lines) == (1, [])
    assert "unknown keyword 'nonsense'" in said


def test_the_master_cli_is_named_as_such(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    text = CONFIGURATION
    for number, port in enumerate(ports, 1):
        text = text.replace(f"@{number}@", str(port))
    master = tmp_path / "master"
    with Program(tmp_path, text, "-W", "-S", str(master)) as program:
        edge = Edge(program, ports)
        edge.write()
        status, _, said = edge.compare("--against", str(master))
    assert status == 1
    assert said.endswith(f"--against {master}: that is the master CLI: name a stats socket\n")


def test_it_starts_nothing(edge: Edge) -> None:
    edge.write()
    words = [sys.executable, "-m", "proxy", "-f", str(edge.file)]
    against = ("--against", str(edge.program.socket_path))
    ran = subprocess.run([*words, *against], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert "a reload would change nothing" in ran.stdout
