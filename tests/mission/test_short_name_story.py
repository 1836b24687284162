"""docs/short-names.md, run as it is written: its files, its commands and each line it quotes.

Only the places of files change (the stats socket, the configuration, /etc), and in quoted lines
the process id and the seconds. The nameserver is Unbound before NSD, at the address that the page's
resolv.conf names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.recursive import unbound
from tests.support.dns.resolv_conf import Etc
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent.parent / "docs" / "short-names.md").read_text(encoding="utf-8")
SOCKET, FILE = "/run/millrace.sock", "/etc/haproxy/haproxy.cfg"


def blocks(kind: str) -> list[str]:
    """The blocks of this kind, in the order of the page."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


TROUBLE, SEARCH, FULL_NAME = (text.replace(SOCKET, "{socket}", 1) for text in blocks("haproxy"))
RESOLV_CONF, ZONE = blocks("resolv.conf")[0], blocks("zone")[0]
FRONT = ("127.53.0.1", 8080)
ADDRESS = ZONE.split()[-1]


def comparable(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"\] +\([0-9]+\)", "] (pid)", text)
    return re.sub(r"\b[0-9]+\.[0-9]+ s\b", "N s", text)


def console(name: str) -> tuple[str, str]:
    """A command of the page and what it prints."""
    command, _, output = blocks(f"console {name}")[0].partition("\n")
    return command.removeprefix("$ "), output


class Host:
    """What the page describes: a nameserver, a resolv.conf, one server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.etc = folder, Etc(folder)
        self.etc.replace(*RESOLV_CONF.splitlines())

    def start(self, configuration: str) -> Program:
        return Program(self.folder, configuration, wrapper=self.etc.wrapper)

    def run(self, program: Program, name: str) -> tuple[str, str]:
        """What a command of the page prints here, and on the page."""
        command, expected = console(name)
        first, _, rest = command.partition(" | ")
        asked = ""
        if first.startswith("millrace "):
            arguments = first.replace(FILE, str(program.file)).split()[1:]
            words = [*self.etc.wrapper, sys.executable, "-m", "proxy", *arguments]
        else:  # socat is what users have; the test asks by itself
            socat, _, rest = rest.partition(" | ")
            assert socat == f"socat - {SOCKET}"
            asked = program.ask(first.removeprefix('echo "').removesuffix('"'))
            words = ["sh", "-c", rest]
        done = subprocess.run(
            words, input=asked, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
        )
        printed = (done.stderr + done.stdout).replace(str(program.file), FILE)
        return comparable(printed.strip()), comparable(expected.strip())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("only root listens at port 53 and gives a program another /etc")
    for name in ("nsd", "unbound"):
        (tmp_path / name).mkdir()
    address = RESOLV_CONF.split()[1]
    with (
        Nsd(tmp_path / "nsd", "apps.test", ZONE.splitlines(), "127.53.0.54") as nsd,
        unbound(tmp_path / "unbound", nsd, address, port=53),
    ):
        server = NamedBackend(ADDRESS, FRONT[1])
        yield Host(tmp_path)
        server.close()


def quoted(name: str) -> list[str]:
    return comparable(blocks(f"log {name}")[0]).splitlines()


def test_the_trouble_is_told_as_it_happens(host: Host) -> None:
    with host.start(TROUBLE) as program:
        assert who_answers(FRONT) == ADDRESS
        printed, told = host.run(program, "started")
        assert printed == told
        printed, told = host.run(program, "check")
        assert printed == told
        notice = told.splitlines()[0]
        output = comparable(program.output.read_text().replace(str(program.file), FILE))
        assert notice in output.splitlines()
        story = quoted("trouble")

        def lines() -> list[str]:
            told = comparable(program.output.read_text()).splitlines()
            return [line for line in told if line in story]

        # no client meanwhile: it would be a session of the line before the last
        wait_for(lambda: story[-1] in lines(), 20.0, "the end of hold nx", step=0.1)
        assert who_answers(FRONT) is None
        assert lines() == story
        printed, told = host.run(program, "down")
        assert printed == told


@pytest.mark.parametrize("configuration", [SEARCH, FULL_NAME], ids=["search", "full name"])
def test_the_solutions_outlive_the_hold(host: Host, configuration: str) -> None:
    searched = configuration == SEARCH
    with host.start(configuration) as program:
        assert who_answers(FRONT) == ADDRESS

        def valid() -> int:
            counters = program.ask("show resolvers")
            return int(re.findall(r"valid: +([0-9]+)", counters)[0])

        # a valid answer each second: hold nx has passed
        wait_for(lambda: valid() >= 8, 20.0, "eight valid answers", step=0.1)
        assert who_answers(FRONT) == ADDRESS
        printed, told = host.run(program, "solved")
        assert printed == (
            told
            if searched
            else told.replace(" web", " web.apps.test").replace(" web.apps.test", " web", 1)
        )
        lines = program.output.read_text()
        assert "[NOTICE]" not in lines
        assert "DOWN" not in lines
        assert (quoted("solution")[0] in lines) == searched


def test_the_page_has_what_this_file_runs() -> None:
    assert len(blocks("haproxy")) == 3
    assert {*re.findall(r"^```(.+)$", PAGE, re.MULTILINE)} == {
        *("haproxy", "resolv.conf", "zone", "log trouble", "log solution"),
        *(f"console {name}" for name in ("check", "started", "down", "solved")),
    }
