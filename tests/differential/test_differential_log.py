"""What both programs log about DNS: the same lines in the same order with the same levels.

Words are compared by what they mean, because HAProxy's own differ between versions.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import wait_for
from tests.support_differential import ROOT, haproxy_command, millrace_command
from tests.support_dns import (
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    Answer,
    ScriptedNameserver,
    records,
)

CONFIGURATION = """\
global
    nbthread 1
    stats socket {folder}/s level admin
    log {log} local0
    .if version_atleast(3.2)
    dns-accept-family ipv4,ipv6
    .endif
defaults
    mode tcp
    log global
    balance roundrobin
    timeout connect 1s
    timeout client 10s
    timeout server 10s
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    resolve_retries 1
    timeout resolve 100ms
    timeout retry 100ms
    hold nx 100ms
    hold refused 100ms
    hold other 100ms
    hold timeout 100ms
listen fe
    bind {network}.250:18079
    server s1 app.test:80 resolvers r1 resolve-prefer ipv4 init-addr none
    server-template web 1 _web._tcp.test resolvers r1 resolve-prefer ipv4 init-addr none
    server other {network}.9:80
"""
KINDS = (
    r"(\S+?):? (?:changed its )?IP (?:changed )?from ",
    r"Server (\S+) \('\S+'\) is UP/READY \(resolves again\)",
    r"Server (\S+) administratively READY thanks to valid DNS answer",
    r"Server (\S+) is going DOWN for maintenance \(([^)]+)\)",
    r"Server (\S+) is going DOWN for maintenance\.",
    r"Server (\S+) is UP/READY \(leaving forced maintenance\)",
    r"Server (\S+) is leaving forced maintenance but remains in maintenance",
    r"Server (\S+) is DOWN, changed from CLI",
    r"Server (\S+) is UP, changed from CLI",
)
Line = tuple[int, int, tuple[str, ...]]  # level, kind, what it speaks of


class Program:
    """One program, its nameserver, and what it has logged."""

    def __init__(self, folder: Path, log: socket.socket, nameserver: ScriptedNameserver) -> None:
        self.folder = folder
        self.log = log
        self.nameserver = nameserver
        self.lines: list[Line] = []
        self.texts: list[str] = []

    def read(self) -> None:
        """Take what has come."""
        with suppress(BlockingIOError):
            while True:
                text = self.log.recv(65_536).decode()
                self.texts.append(text)
                self.take(text)

    def take(self, text: str) -> None:
        level = int(text[1 : text.index(">")]) % 8
        for kind, pattern in enumerate(KINDS):
            if found := re.search(pattern, text):
                about = tuple(word.strip() for word in found.groups())
                self.lines.append((level, kind, about))
                return

    def logged(self, count: int) -> list[Line]:
        """The next lines of known kinds, so many; fails when they do not come."""

        def come() -> bool:
            self.read()
            return len(self.lines) >= count

        wait_for(come, 10, f"{count} lines of {self.folder.name}, {self.texts}")
        found, self.lines = self.lines, []
        return found

    def ask(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.folder / "s"))
            client.sendall(command.encode() + b"\n")
            while client.recv(65_536):
                pass


@contextmanager
def program(command: tuple[str, ...], folder: Path, network: str) -> Iterator[Program]:
    folder.mkdir()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log,
        ScriptedNameserver() as nameserver,
    ):
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        nameserver.set("app.test", "A", records("127.99.0.1"))
        text = CONFIGURATION.format(
            folder=folder,
            log="{}:{}".format(*log.getsockname()),
            nameserver=nameserver.address,
            network=network,
        )
        (folder / "proxy.cfg").write_text(text)
        with (folder / "output").open("wb") as output:
            child = subprocess.Popen(
                (*command, "-f", str(folder / "proxy.cfg"), "-db"),
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        try:
            yield Program(folder, log, nameserver)
        finally:
            child.terminate()
            child.wait(10)


def lose_and_find(made: Program, failure: Answer) -> list[Line]:
    """A name is lost for this reason, and found again."""
    made.nameserver.set("app.test", "*", failure)
    lost = made.logged(1)
    made.nameserver.set("app.test", "*", NX)  # forgets what was said of the other family
    made.nameserver.set("app.test", "A", records("127.99.0.2"))
    return lost + made.logged(3)


def history(made: Program) -> list[list[Line]]:
    """The lines of each step."""
    steps = [made.logged(3)]
    made.nameserver.set("app.test", "A", records("127.99.0.3"))
    steps.append(made.logged(1))
    steps += [lose_and_find(made, failure) for failure in (NX, REFUSED, SERVFAIL, SILENT)]
    made.ask("set server fe/s1 state maint")
    steps.append(made.logged(1))
    made.ask("set server fe/s1 state ready")
    steps.append(made.logged(1))
    made.ask("set server fe/other health down")
    steps.append(made.logged(1))
    made.ask("set server fe/other health up")
    steps.append(made.logged(1))
    service = Answer(("0 1 8001 h1.test.",), additional=("h1.test. 0 IN A 127.99.0.5",))
    made.nameserver.set("_web._tcp.test", "SRV", service)
    steps.append([line for line in made.logged(2) if line[1] != 2])
    made.nameserver.set(
        "_web._tcp.test",
        "SRV",
        Answer(("0 1 8001 h2.test.",), additional=("h2.test. 0 IN A 127.99.0.6",)),
    )
    steps.append([line for line in made.logged(2) if line[1] == 0])
    made.nameserver.set("_web._tcp.test", "*", NX)
    steps.append(made.logged(1))
    return steps


def run(command: tuple[str, ...], folder: Path, network: str) -> list[list[Line]]:
    with program(command, folder, network) as made:
        return history(made)


@pytest.mark.slow
def test_lines_about_dns_have_haproxys_levels(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(run, haproxy_command(), tmp_path / "haproxy", "127.99.1")
        ours = pool.submit(run, millrace_command(), tmp_path / "millrace", "127.99.2")
        for mine, other in zip(ours.result(), theirs.result(), strict=True):
            assert mine == other
