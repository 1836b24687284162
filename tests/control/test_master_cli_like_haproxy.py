"""The master CLI beside that of Debian's HAProxy: what it says, byte for byte where it can.

Pids, versions and uptimes are replaced. What 3.x has and 2.6 has not (`reload` that waits for its
outcome) is in tests/supervisor/test_master_cli.py.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.supervisor.program import ROOT

NAMES = ("haproxy", "millrace")
CONFIGURATION = """global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen web
  bind 127.0.0.1:{port}
  server s 127.0.0.1:9
"""
# Each is sent as it is, and then the client says that it asks no more.
CONVERSATIONS = (
    *("show proc", "show version", "@master show version", "@ show version", "@0 show version"),
    *(
        "@1 show version",
        "@1 show version; show version",
        "@1; show version; @master; show version",
    ),
    *("@1", "@master", "@1;show version", "  @1   show   version", "@1 show cli level"),
    *("@2 show info", "@!99999 show info", "@!0 show info", "@!abc show info", "@foo show info"),
    *(
        "@@ show version",
        "@1show version",
        "@-1 show version",
        "show version; @!99999; show version",
    ),
    *(
        "show cli level",
        "operator; show cli level",
        "@1; operator; show cli level",
        "user; @1; show cli level",
    ),
    *(
        "@1 operator; @1 show cli level",
        "user; reload",
        "prompt; show version",
        "@1; prompt; show version",
    ),
    *(
        "prompt\n@1\n@\n@1 show version\nshow version\nquit\nshow version",
        "prompt;prompt;show version",
    ),
    *(
        "prompt\nexpert-mode on\nshow version\n@1\nshow version\nexpert-mode off\nquit",
        "quit; show version",
    ),
    *("prompt\nexperimental-mode on\nexpert-mode on\nquit", "prompt\n@1 quit\nshow version\nquit"),
    *("@1 disable server web/s; @1 get weight web/s", "@1 add map nofile <<\na b\n\nshow version"),
    *(
        "prompt\n@!99999\nshow version",
        "@1 show map <<\na b\n\nshow version",
        "@1; quit; show version",
    ),
)


class WithMaster:
    """One of both programs with sockets of its master, for administrators and operators."""

    def __init__(self, name: str, folder: Path) -> None:
        ours = name == "millrace"
        command = (sys.executable, "-m", "proxy") if ours else (require_program("haproxy"),)
        file, self.path, self.low = folder / "p.cfg", folder / "m", folder / "o"
        file.write_text(CONFIGURATION.format(port=free_port()))
        sockets = ("-S", f"{self.path},mode,600", "-S", f"{self.low},level,operator")
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "-W", "-f", str(file), *sockets], cwd=ROOT, stderr=output
            )
        wait_for(lambda: "worker" in self.ask("show proc"), PATIENCE_SECONDS, f"{name} answers")
        master, self.worker = re.findall(r"^\d+", self.ask("show proc"), re.MULTILINE)
        self.replaced = {
            self.ask("show version").strip(): "VERSION",
            rf"\b{master}\b": "MASTER",
            rf"\b{self.worker}\b": "WORKER",
            r"\dd\d\dh\d\dm\d\ds": "UPTIME",
            r"(\S) +$": r"\1",
            r" +": " ",
        }

    def ask(self, text: str, path: Path | None = None) -> str:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(path or self.path))
            client.sendall(text.encode() + b"\n")
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65_536), b"")).decode()
        return ""

    def said(self, text: str, path: Path | None = None) -> str:
        """The answer, without what differs in each run."""
        answer = self.ask(text.replace("WORKER", self.worker), path)
        for pattern, word in self.replaced.items():
            escaped = re.escape(pattern) if word == "VERSION" else pattern
            answer = re.sub(escaped, word, answer, flags=re.MULTILINE)
        return answer


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WithMaster, WithMaster]]:
    with ExitStack() as stack:
        programs = []
        for name in NAMES:
            programs.append(WithMaster(name, tmp_path_factory.mktemp(name)))
            stack.callback(programs[-1].process.wait, PATIENCE_SECONDS)
            stack.callback(programs[-1].process.terminate)
        yield programs[0], programs[1]


def test_conversations_are_the_same(both: tuple[WithMaster, WithMaster]) -> None:
    theirs, ours = both
    different = {}
    for text in CONVERSATIONS:
        pair = theirs.said(text), ours.said(text)
        if pair[0] != pair[1]:
            different[text] = pair
    assert not different


def test_a_process_is_reached_by_its_pid(both: tuple[WithMaster, WithMaster]) -> None:
    for program in both:
        assert program.said("@!WORKER show version; @!WORKER; show cli level") == (
            "VERSION\n\nadmin\n\n"
        )
        assert program.said("prompt\n@!WORKER\nshow version\nquit") == (
            "master> WORKER> VERSION\n\nWORKER> WORKER>"
        )


def test_a_socket_has_its_level_and_mode(both: tuple[WithMaster, WithMaster]) -> None:
    answers = [
        (
            program.said("show cli level; @1 show cli level; @1 disable server web/s", program.low),
            oct(program.path.stat().st_mode)[-3:],
        )
        for program in both
    ]
    assert answers[0] == answers[1]
    assert answers[0][1] == "600"


def test_help_has_the_same_commands_and_those_of_3x(both: tuple[WithMaster, WithMaster]) -> None:
    theirs, ours = (
        re.findall(r"^  (@?[\w-]+(?: [a-z][\w-]+)*|@\S+ ?\S*)", program.ask("help"), re.MULTILINE)
        for program in both
    )
    assert set(ours) - set(theirs) == {"hard-reload", "show startup-logs"}
    assert set(theirs) - set(ours) == {"show cli sockets"}


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("m.sock,mode", "mode"),
        ("m.sock,foo,bar", "unknown keyword 'foo'"),
        ("m.sock,level,bad", "bad"),
        ("junk", "missing port"),
    ],
)
def test_a_socket_that_is_none_ends_a_check(tmp_path: Path, argument: str, told: str) -> None:
    file = tmp_path / "p.cfg"
    file.write_text(CONFIGURATION.format(port=free_port()))
    words = ["-c", "-W", "-S", argument.replace("m.sock", str(tmp_path / "m")), "-f", str(file)]
    programs = {
        "haproxy": (require_program("haproxy"),),
        "millrace": (sys.executable, "-m", "proxy"),
    }
    for command in programs.values():
        ended = subprocess.run(
            [*command, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        assert told in ended.stderr, command


def test_without_a_master_a_warning_says_so(tmp_path: Path) -> None:
    file = tmp_path / "p.cfg"
    file.write_text(CONFIGURATION.format(port=free_port()))
    words = ["-c", "-S", str(tmp_path / "m"), "-f", str(file)]
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # the words of haproxy -S without -W, which says them at a start only
    assert "a master CLI socket was defined, but master-worker mode (-W) is not" in ended.stderr
    assert ended.returncode == 0
