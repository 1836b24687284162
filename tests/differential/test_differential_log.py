"""What both programs log about DNS: the same lines in the same order with the same levels.

Words are compared by what they mean, because HAProxy's own differ between versions.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.dns.scripted import (
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    Answer,
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
    timeout client 600s
    timeout server 600s
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    resolve_retries 1
    timeout resolve 100ms
    timeout retry 1s
    hold nx 100ms
    hold refused 100ms
    hold other 100ms
    hold timeout 100ms
listen fe
    bind NET.250:18079
    server s1 app.test:80 resolvers r1 resolve-prefer ipv4 init-addr none
    server-template web 1 _web._tcp.test resolvers r1 resolve-prefer ipv4 init-addr none
    server other NET.9:80
"""
KINDS = (
    r"(\S+?):? (?:changed its )?IP (?:changed )?from ",
    r"Server (\S+) \('\S+'\) is UP/READY \(resolves again\)",
    r"Server (\S+) administratively READY thanks to valid DNS answer",
    r"Server (\S+) is going DOWN for maintenance \(([^)]+)\)\. (\d.*)$",
    r"Server (\S+) is going DOWN for maintenance\.",
    r"Server (\S+) is UP/READY \(leaving forced maintenance\)",
    r"Server (\S+) is leaving forced maintenance but remains in maintenance",
    r"Server (\S+) is DOWN, changed from CLI",
    r"Server (\S+) is UP, changed from CLI",
)
Line = tuple[int, int, tuple[str, ...]]  # level, kind, what it speaks of


class Reader:
    """Finds the lines of known kinds in what a program logs."""

    def __init__(self, made: OneProgram) -> None:
        self.made = made
        self.nameserver = made.nameserver
        self.ask = made.ask

    def known(self) -> list[Line]:
        """Those of the lines so far that were not returned yet."""
        self.made.read()
        return [line for level, text in self.made.lines for line in self.line(level, text)]

    def line(self, level: int, text: str) -> list[Line]:
        """What a text means; nothing for other kinds."""
        for kind, pattern in enumerate(KINDS):
            if found := re.search(pattern, text):
                return [(level, kind, tuple(word.strip() for word in found.groups()))]
        return []

    def logged(self, count: int) -> list[Line]:
        """The next lines of known kinds, so many; fails when they do not come."""
        what = f"{count} lines of {self.made.folder.name}"
        wait_for(lambda: len(self.known()) >= count, 10, what)
        found = self.known()
        self.made.lines = []
        return found

    def of_kind(self, *kinds: int) -> list[Line]:
        """The lines of these kinds, once there are some; others may still come from the step before."""
        what = f"a line of {self.made.folder.name}"
        wait_for(lambda: any(line[1] in kinds for line in self.known()), 10, what)
        found = [line for line in self.known() if line[1] in kinds]
        self.made.lines = []
        return found


def lose_and_find(made: Reader, failure: Answer) -> list[Line]:
    """A name is lost for this reason, and found again."""
    made.nameserver.set("app.test", "*", failure)
    lost = made.logged(1)
    made.nameserver.set("app.test", "*", NX)  # forgets what was said of the other family
    made.nameserver.set("app.test", "A", records("127.99.0.2"))
    return lost + made.logged(3)


def history(made: Reader) -> list[list[Line]]:
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
    steps.append(made.of_kind(0))
    made.nameserver.set("_web._tcp.test", "*", NX)
    steps.append(made.of_kind(3, 4))
    return steps


def run(command: tuple[str, ...], folder: Path, network: str) -> list[list[Line]]:
    configuration = CONFIGURATION.replace("NET", network)
    with one_program(command, folder, configuration, {"app.test": "127.99.0.1"}) as made:
        return history(Reader(made))


@pytest.mark.slow
def test_lines_about_dns_have_haproxys_levels(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(run, haproxy_command(), tmp_path / "haproxy", "127.99.1")
        ours = pool.submit(run, millrace_command(), tmp_path / "millrace", "127.99.2")
        for mine, other in zip(ours.result(), theirs.result(), strict=True):
            assert mine == other
