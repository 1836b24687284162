"""Checks that are programs: the same words, judgement, texts and log lines as HAProxy's.

The programs are shell scripts. Those that hang read a FIFO that the test holds open, so that none
that HAProxy leaves behind is there after the test.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.health.check_peers import CHECK, Case, Told, tell
from tests.support.common import free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

GLOBAL = "global\n  external-check\n  insecure-fork-wanted\n"
SHORT = "check inter 1500 fall 1 rise 1"  # of programs that hang
SCRIPTS = {
    "passes": "exit 0",
    "fails": "exit 1",
    "exits_3": "exit 3",
    "exits_255": "exit 255",
    "killed": "kill -KILL $$",
    "crashes": "kill -SEGV $$",
    "noisy": "i=0; while [ $i -lt 2000 ]; do echo $i$i$i$i$i$i$i; echo $i$i$i >&2; i=$((i+1)); done",
    "closes_its_output": "exec >&- 2>&-; exit 0",
    "leaves_a_child": "read x < FIFO & exit 0",
    "asks_for_input": "read x; [ $? = 1 ] && exit 7",
    "has_few_descriptors": "[ ! -e /proc/self/fd/20 ]",
    "gains_no_rights": "grep -q 'NoNewPrivs:.1' /proc/self/status",
    "stops_itself": "kill -STOP $$",
    "hangs": "read x < FIFO",
    "ignores_sigterm": "trap '' TERM; read x < FIFO",
    "hangs_with_a_child": "(trap '' TERM; read x < FIFO) & wait",
}
HANG = frozenset({"stops_itself", "hangs", "ignores_sigterm", "hangs_with_a_child"})
NO_SHEBANG = "exit 4\n"


class Folder:
    """The scripts of one program, as cases of check_peers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.fifo = path / "fifo"
        os.mkfifo(self.fifo)
        self.cases: dict[str, Case] = {}
        for name, text in SCRIPTS.items():
            self.add(name, str(self.script(f"{name}.sh", "#!/bin/sh\n" + text)))
        self.add("no_shebang", str(self.script("plain", NO_SHEBANG)))
        self.add("no_interpreter", str(self.script("lost", "#!/nonexistent/interpreter\n")))
        self.add("not_executable", str(self.script("text", "exit 0\n", mode=0o644)))
        self.add("missing", f"{path}/nothing")
        self.add("folder", str(path))
        self.add("behind_a_file", f"{path}/plain/x")
        denied, good = path / "denied", path / "good"
        for folder, mode in ((denied, 0o644), (good, 0o755)):
            folder.mkdir()
            self.script(f"{folder.name}/found", "#!/bin/sh\nexit 5\n", mode=mode)
        self.add("in_a_path", "found", f"{path}/nowhere:{denied}:{good}:/bin")
        self.add("denied_in_a_path", "found", f"{denied}:/bin")
        self.add("nowhere_in_a_path", "found", "/bin:/usr/bin")

    def script(self, name: str, text: str, *, mode: int = 0o755) -> Path:
        path = self.path / name
        path.write_text(text.replace("FIFO", str(self.fifo)))
        path.chmod(mode)
        return path

    def add(self, name: str, command: str, path: str = "/usr/bin:/bin") -> None:
        lines = (
            "option external-check",
            f"external-check command {command}",
            f"external-check path {path}",
        )
        self.cases[name] = Case(lines, None, SHORT if name in HANG else CHECK)


@contextmanager
def held_open(fifo: Path) -> Iterator[None]:
    """Let readers of a FIFO wait until the block ends."""
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        yield
    finally:
        os.close(descriptor)


def told_by(program: str, folder: Path) -> dict[str, Told]:
    made = Folder(folder / f"scripts of {program}".replace(" ", "_"))
    try:
        with held_open(made.fifo):
            return tell(program, folder, made.cases, GLOBAL)
    finally:
        end_what_is_left(made.path)


def end_what_is_left(scripts: Path) -> None:
    """A script that has stopped itself outlives HAProxy, which started it."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"{scripts}/".encode() in words.read_bytes():
                os.kill(int(words.parent.name), signal.SIGKILL)


@pytest.mark.slow
def test_an_end_says_the_same(tmp_path: Path) -> None:
    theirs, ours = told_by("haproxy", tmp_path), told_by("millrace", tmp_path)
    assert {name: told for name, told in ours.items() if told != theirs[name]} == {
        name: told for name, told in theirs.items() if told != ours[name]
    }
    statuses = {name: (told.status, told.code) for name, told in ours.items()}
    assert statuses["passes"] == ("PROCOK", "0")
    assert statuses["exits_3"] == ("PROCERR", "3")
    assert statuses["killed"] == ("PROCERR", "4294967295")
    assert statuses["hangs"] == statuses["hangs_with_a_child"] == ("PROCTOUT", "0")
    assert statuses["missing"] == statuses["not_executable"] == ("PROCERR", "255")
    assert statuses["in_a_path"] == ("PROCERR", "5")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root directory")
def test_programs_run_behind_a_chroot(tmp_path: Path) -> None:
    """Where there is nothing but a shell, not even /dev/null."""
    jail = tmp_path / "jail"
    listed = subprocess.run(("ldd", "/bin/sh"), capture_output=True, check=True, text=True).stdout
    for file in ("/bin/sh", *re.findall(r"(/\S+) \(0x", listed)):
        copy = jail / file[1:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (jail / "check").write_text("#!/bin/sh\nread x && exit 1\n[ $PWD = / ] && exit 6\n")
    (jail / "check").chmod(0o755)
    lines = ("option external-check", "external-check command /check")
    cases = {"inside": Case(lines, None)}
    more = f"{GLOBAL}  chroot {jail}\n"
    said = {program: tell(program, tmp_path, cases, more) for program in PROGRAMS}
    assert said["millrace"] == said["haproxy"]
    assert said["millrace"]["inside"].code == "6"


TELLS = """#!/bin/sh
told=$(dirname "$0")/$HAPROXY_PROXY_NAME.$HAPROXY_SERVER_NAME
{ printf '%s\\n' "$0" "$#" "$@"; env | sort; } > "$told.new"
mv "$told.new" "$told"
"""
PLACES = """
global
  stats socket {{folder}}/s level admin
  setenv MARK of_the_file
  external-check
  insecure-fork-wanted
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  option external-check
  external-check command {script}
  external-check path /usr/bin:/bin
listen two_addresses
  bind 127.0.0.1:{ports[0]}
  bind 127.0.0.1:{ports[1]}
  server plain 127.0.0.1:1234 check inter 2s maxconn 7
  server six [::1]:1235 check inter 2s
  server local unix@/tmp/nothing.sock check inter 2s
  server elsewhere 127.0.0.1:1 check inter 2s port 99 addr 127.0.0.9
  server numbered 127.0.0.1:1 check inter 2s id 33
listen local_socket
  bind unix@{{folder}}/listening
  server a 127.0.0.1:1234 check inter 2s
listen abstract
  bind abns@millrace-test
  bind 127.0.0.1:{ports[2]}
  server a 127.0.0.1:1234 check inter 2s
listen six
  id 77
  bind [::1]:{ports[3]}
  server portless 127.0.0.1 check inter 2s port 55
listen any
  bind :{ports[4]}-{ports[4]}
  server relative 127.0.0.1:+3 check inter 2s port 56
backend apart
  server a 127.0.0.1:1234 check inter 2s
"""
TOLD = (
    *("two_addresses.plain", "two_addresses.six", "two_addresses.local"),
    *("two_addresses.elsewhere", "two_addresses.numbered", "local_socket.a", "abstract.a"),
    *("six.portless", "any.relative", "apart.a"),
)


def places_told(program: str, folder: Path, ports: list[int]) -> dict[str, list[str]]:
    """What a program was given for each server, without what differs between two runs."""
    scripts = folder / f"told_by_{program}"
    scripts.mkdir()
    script = scripts / "tell.sh"
    script.write_text(TELLS)
    script.chmod(0o755)
    text = PLACES.format(script=script, ports=ports)
    with one_program(PROGRAMS[program](), folder / program, text, {}):
        wait_for(lambda: all((scripts / name).exists() for name in TOLD), 10, "all programs ran")
    return {
        name: [
            line.replace(str(scripts), "SCRIPTS").replace(str(folder / program), "FOLDER")
            for line in (scripts / name).read_text().splitlines()
        ]
        for name in TOLD
    }


@pytest.mark.slow
def test_a_program_is_told_the_same(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(5)]
    theirs = places_told("haproxy", tmp_path, ports)
    ours = places_told("millrace", tmp_path, ports)
    assert ours == theirs
    assert ours["apart.a"][:6] == ["SCRIPTS/tell.sh", "4", *("NOT_USED",) * 2, "127.0.0.1", "1234"]
    assert not any(line.startswith("MARK=") for line in ours["apart.a"])


HISTORY = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
  external-check
  insecure-fork-wanted
  {more}
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout check 60s
listen edge
  bind 127.0.0.1:{port}
  option external-check
  external-check command {script}
  server a 127.0.0.1:1 check inter 3s fastinter 200 rise 2 fall 3
"""
WHAT_DIFFERS = re.compile(r"duration: \d+ms|\d+ms$|\[\d+\]|<\d+>|^.{15} \S+ ")


class Steps(NamedTuple):
    """Rows of the server at rest, and the log."""

    rows: list[tuple[str, ...]]
    lines: list[str]


def history(program: str, folder: Path) -> Steps:
    """A server that passes, fails, and passes again, as its file says."""
    word = folder / f"word_of_{program}"
    script = folder / f"check_of_{program}.sh"
    script.write_text(f"#!/bin/sh\nread word < {word}\nexit $word\n")
    script.chmod(0o755)
    text = HISTORY.format(script=script, port=free_port(), more="")
    rows = []
    word.write_text("0\n")
    with one_program(PROGRAMS[program](), folder / program, text, {}) as running:
        for exit_status, health in (("0", "4"), ("3", "0"), ("0", "4")):
            changed = word.with_suffix(".new")
            changed.write_text(f"{exit_status}\n")
            changed.rename(word)
            rows.append(settled(running, health))
        running.read_all()
        said = [text.split(": ", 1)[1].strip() for _, text in running.lines]
    lines = [WHAT_DIFFERS.sub("", line) for line in said if "edge" in line]
    return Steps(rows, lines)


def settled(running: OneProgram, health: str) -> tuple[str, ...]:
    """The row of the server once it has this health, between two checks."""
    names = ("srv_op_state", "srv_check_status", "srv_check_result", "srv_check_health")
    names = (*names, "srv_check_state")

    def row() -> tuple[str, ...]:
        found = running.rows()["a"]
        at_rest = found["srv_check_health"] == health and found["srv_check_state"] == "6"
        return tuple(found[name] for name in names) if at_rest else ()

    return wait_for(row, 20, f"health {health}")


@pytest.mark.slow
def test_a_server_goes_down_and_comes_up_alike(tmp_path: Path) -> None:
    theirs, ours = history("haproxy", tmp_path), history("millrace", tmp_path)
    assert ours == theirs
    assert [line.split(".")[0] for line in ours.lines] == [
        "Server edge/a is DOWN, reason: External check error, code: 3, check ",
        "proxy edge has no server available!",
        "Server edge/a is UP, reason: External check passed, code: 0, check ",
    ]


FORKLESS = """
global
  stats socket {{folder}}/s level admin mode 666
  log {{log}} len 4096 local0
  user nobody
  external-check
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen edge
  bind 127.0.0.1:{port}
  option external-check
  external-check command /bin/true
  server a 127.0.0.1:1 check inter 300 rise 1 fall 1
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_leave_to_fork_no_check_passes(tmp_path: Path) -> None:
    said = {}
    for program in ("haproxy", "millrace"):
        text = FORKLESS.format(port=free_port())
        with one_program(PROGRAMS[program](), tmp_path / program, text, {}) as running:
            wait_for(lambda running=running: down(running), 10, "the server is down")
            lines = [line for _, line in running.lines if "edge/a" in line]
        said[program] = WHAT_DIFFERS.sub("", lines[0].split(": ", 1)[1].strip())
    assert said["millrace"] == said["haproxy"]
    assert 'Socket error, info: "Resource temporarily unavailable"' in said["millrace"]


def down(running: OneProgram) -> bool:
    running.read()
    return any("edge/a" in line for _, line in running.lines)
