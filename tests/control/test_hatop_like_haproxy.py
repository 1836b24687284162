"""hatop, the terminal of Debian, in front of HAProxy and of Millrace on the same file.

It shows the same screens, its keys do the same to servers, and its command line works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.common import require_program
from tests.support.control.terminal import Terminal
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

pytestmark = pytest.mark.quiet  # it waits a second for an answer, and gives up then
CONFIGURATION = """
global
  stats socket {folder}/s level admin
  nbthread 1
  maxconn 900
  node edge
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend fe
  bind unix@{folder}/fe
  maxconn 10
  default_backend be
listen li
  bind unix@{folder}/li
  server l1 127.0.0.1:9 disabled
backend be
  server s1 127.0.0.1:9 weight 7
  server s2 127.0.0.1:9 backup
backend other
  server s1 127.0.0.1:10 weight 20
"""
VIEWS = {"1": "SLIM", "2": "LBTOT", "3": "1xx", "4": "ECONN"}  # each with a column of its own
MENU = "1-STATUS"
AGE = re.compile(r" +\d+[smhd]\b")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OneProgram]]:
    folder = tmp_path_factory.mktemp("hatop")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(one_program(command(), folder / name, CONFIGURATION, {}))
            for name, command in PROGRAMS.items()
        }


@contextmanager
def hatop(made: OneProgram) -> Iterator[Terminal]:
    """On the socket of a program, with its first view."""
    with Terminal([require_program("hatop"), "-i", "1", "-s", str(made.folder / "s")]) as terminal:
        terminal.wait(lambda lines: any(MENU in line for line in lines) and row(lines, "other"))
        yield terminal


def row(lines: list[str], backend: str, server: str = "") -> str:
    """A row below the name of a backend; empty: it is not shown."""
    names = [line.strip() for line in lines]
    if f">>> {backend}" not in names:
        return ""
    below = names[names.index(f">>> {backend}") :]
    return next((line for line in below if line.split()[:1] == [server or ">>>"]), "")


def table(lines: list[str]) -> list[str]:
    """What is below the head, without ages."""
    first = next(number for number, line in enumerate(lines) if line.startswith("NAME "))
    return [AGE.sub(" <age>", line).rstrip() for line in lines[first:] if line]


def test_all_views_are_the_same(programs: dict[str, OneProgram]) -> None:
    shown: list[dict[str, list[str]]] = []
    for made in programs.values():
        with hatop(made) as terminal:
            views = {}
            for key, column in VIEWS.items():
                terminal.press(key)
                views[key] = table(
                    terminal.wait(lambda lines, c=column: any(f" {c} " in f"{x} " for x in lines))
                )
            shown.append(views)
    assert shown[1] == shown[0]
    assert len(shown[0]["1"]) > 10


def test_the_head_says_what_runs(programs: dict[str, OneProgram]) -> None:
    made = programs["millrace"]
    info = dict(line.split(": ", 1) for line in made.ask("show info").splitlines() if line)
    with hatop(made) as terminal:
        head = "\n".join(terminal.lines[:12])
    assert f"Millrace Version: {info['Version']}" in head
    assert f"PID: {info['Pid']} " in head
    assert "Node: edge (uptime 0d " in head
    assert re.search(r"Connections: \[ +0/900\]", head)
    assert re.search(r"Proxies: +4 +Services: +9", head)


def test_keys_do_the_same_to_a_server(programs: dict[str, OneProgram]) -> None:
    for made in programs.values():
        with hatop(made) as terminal:

            def shows(word: str, screen: Terminal = terminal) -> None:
                screen.wait(lambda lines: word in row(lines, "be", "s1").split())

            place = [line.strip() for line in terminal.lines].index(">>> be")
            first = [line.strip() for line in terminal.lines].index(">>> fe")
            terminal.press(*["down"] * (place - first + 1))
            terminal.press("f10")
            shows("MAINT")
            assert state(made) == ("MAINT", "7")
            terminal.press("f9")
            shows("-")
            terminal.press("f7")
            shows("8")
            terminal.press("f8")
            shows("18")
            terminal.press("f5")
            shows("8")
            assert state(made) == ("no check", "8")
            terminal.press("f4")
            shows("7")
            assert state(made) == ("no check", "7")


def state(made: OneProgram) -> tuple[str, str]:
    """Status and weight of be/s1."""
    rows = (line.split(",") for line in made.ask("show stat").splitlines())
    return next((cells[17], cells[18]) for cells in rows if cells[:2] == ["be", "s1"])


def test_its_command_line_works(programs: dict[str, OneProgram]) -> None:
    answers = []
    for made in programs.values():
        with hatop(made) as terminal:
            terminal.press("5")
            terminal.wait(lambda lines: any("Welcome on the embedded" in line for line in lines))
            terminal.press("get weight be/s1\r")
            terminal.wait(lambda lines: any(line.startswith("7 (") for line in lines))
            terminal.press("set weight be/s1 1000\r")
            lines = terminal.wait(lambda lines: any("0 and 256" in line for line in lines))
            first = next(number for number, line in enumerate(lines) if "get weight" in line)
            shown = (line.strip() for line in lines[first : first + 10])
            answers.append([line for line in shown if not line.startswith("* ")])  # the time
    assert answers[1] == answers[0]
    assert "7 (initial 7)" in answers[0]
