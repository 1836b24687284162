"""`millrace report`: one archive with what a ticket needs, of a program that is well or half dead."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.client.running import command_line_of
from tests.support.common import free_port, stand_still
from tests.support.program.program import Program

CONFIGURATION = """global
  stats socket {socket} level admin
  pidfile @folder@/pid
  nbthread 1
  setenv TOKEN hush-variable
resolvers dns
  nameserver n 127.0.0.1:9
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
# hush-comment
frontend web
  bind 127.0.0.1:@1@
  tcp-request inspect-delay 1s
  tcp-request content set-var(txn.token) str(hush-value)
  tcp-request content reject if { var(txn.token) -m str hush-rule }
  default_backend be
backend be
  option tcp-check
  tcp-check send "AUTH hush-check"
  server s1 127.0.0.1:10 weight 10
  server s2 name.example:11 resolvers dns init-addr none
listen pages
  mode http
  bind 127.0.0.1:@2@
  stats enable
  stats uri /
  stats auth admin:hush-credential
userlist people
  user boss insecure-password hush-password
"""


def report(folder: Path | str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", "report", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(folder: Path | str, *words: str) -> str:
    """What is said where nothing is written."""
    ran = report(folder, *words)
    assert (ran.returncode, ran.stdout) == (1, "")
    return ran.stderr


class Reported:
    """One archive that was written, and what was said meanwhile."""

    def __init__(self, folder: Path, *words: str) -> None:
        before = set(folder.iterdir())
        ran = report(folder, *words)
        self.status, self.said = ran.returncode, ran.stderr
        self.path = Path(ran.stdout.strip())
        assert self.status == 0, ran.stderr
        assert set(folder.iterdir()) - before == {self.path}
        self.parts: dict[str, str] = {}
        with tarfile.open(self.path) as archive:
            for member in archive:
                top, _, name = member.name.partition("/")
                assert top == self.path.name.removesuffix(".tar.gz")
                assert member.mode == 0o600
                content = archive.extractfile(member)
                assert content is not None
                self.parts[name] = content.read().decode()

    def named(self, beginning: str) -> list[str]:
        return [name for name in self.parts if name.startswith(beginning)]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    text = CONFIGURATION.replace("@folder@", str(tmp_path))
    for number in (1, 2):
        text = text.replace(f"@{number}@", str(free_port()))
    with Program(tmp_path, text) as made:
        yield made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


PROCESSES = ("main", "control", "resolverd", "worker")


def test_everything_is_in_it_but_secrets(program: Program, out: Path) -> None:
    made = Reported(out, "-f", str(program.file))
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert not [name for name in made.parts if name.endswith(".failed")], made.said
    assert made.parts["version.txt"].startswith("Millrace version ")
    assert f"main process: {program.process.pid}\n" in made.parts["target.txt"]
    # failing: that program's processes had no turn for 1.5 s
    assert made.parts["ping.txt"].startswith(("ok", "failing: 0 of 1 workers serve"))
    assert f"Pid: {program.process.pid}\n" in made.parts["answers/show-info.txt"]
    for command in (
        "stat",
        "why",
        "resolution",
        "events-state",
        "proc-debug",
        "errors",
        "activity",
    ):
        assert f"answers/show-{command}.txt" in made.parts
    for kind in PROCESSES:
        folders = {name.split("/")[1] for name in made.named("processes/")}
        (folder,) = (each for each in folders if each.split("-")[1] == kind)
        assert "VmRSS" in made.parts[f"processes/{folder}/status"]
        assert "Max open files" in made.parts[f"processes/{folder}/limits"]
        assert "Pss:" in made.parts[f"processes/{folder}/smaps_rollup"]
        assert "wchan" in made.parts[f"processes/{folder}/threads.txt"]
        assert "socket" in made.parts[f"processes/{folder}/descriptors.txt"]
    assert "net/core/somaxconn: " in made.parts["kernel/settings.txt"]
    assert "net/ipv4/ip_local_port_range: " in made.parts["kernel/settings.txt"]
    assert "ListenOverflows" in made.parts["kernel/net/netstat"]
    listening = made.parts["kernel/net/tcp-listening"].splitlines()
    for port in re.findall(r"bind 127\.0\.0\.1:(\d+)", program.file.read_text()):
        assert any(line.split()[1].endswith(f":{int(port):04X}") for line in listening), port
    assert {line.split()[3] for line in listening[1:]} == {"0A"}
    assert "str *****" in made.parts["answers/show-rules.txt"]
    assert not [name for name, text in made.parts.items() if "hush" in text]
    told = made.said.splitlines()
    assert made.parts["parts.txt"].splitlines() == told[:-1]
    assert told[-1] == "written; look through it before you send it"


def test_the_files_are_there_line_by_line(program: Program, out: Path) -> None:
    text = program.file.read_text()
    program.file.write_text(text + '.if defined(X)\n  bind "$HOST:80"\n.endif\nx "\n')
    shown = Reported(out, "-f", str(program.file)).parts["configuration/1-millrace.cfg"]
    lines, read = shown.splitlines(), text.splitlines()
    assert lines[read.index("# hush-comment")] == ""
    assert lines[read.index("  setenv TOKEN hush-variable")] == "  setenv TOKEN *****"
    assert lines[read.index("  stats auth admin:hush-credential")] == "  stats auth admin:*****"
    assert lines[read.index("  server s1 127.0.0.1:10 weight 10")].endswith("weight 10")
    assert lines[len(read) :] == [
        *(".if defined(X)", "  bind ${HOST}:80", ".endif", "# a line that cannot be read")
    ]


@pytest.mark.parametrize("named", ["socket", "pid"])
def test_a_socket_or_a_pid_leads_to_the_rest(named: str, tmp_path: Path, out: Path) -> None:
    text = CONFIGURATION.replace("@folder@", str(tmp_path))
    text = text.replace("@1@", str(free_port())).replace("@2@", str(free_port()))
    with Program(tmp_path, text, executed=True) as program:
        words = {"socket": str(program.socket_path), "pid": str(program.process.pid)}
        made = Reported(out, words[named])
    assert not [name for name in made.parts if name.endswith(".failed")], made.said
    assert f"files: {program.file}\n" in made.parts["target.txt"]
    # it is asked; a machine that stood still just now makes all of them late
    assert re.match(r"ok|failing: 0 of 1 workers serve", made.parts["ping.txt"])
    assert f"Pid: {program.process.pid}\n" in made.parts["answers/show-info.txt"]
    assert "server s1 127.0.0.1:10" in made.parts["configuration/1-millrace.cfg"]


def test_a_program_that_does_not_answer(program: Program, out: Path) -> None:
    children = program.children()
    stand_still(program.process.pid)
    try:
        for kind in ("control", "resolverd"):
            os.kill(children[kind][0], signal.SIGKILL)
        made = Reported(out, "--timeout", "1", "-S", str(program.socket_path))
    finally:
        os.kill(program.process.pid, signal.SIGCONT)
    assert f"main process: {program.process.pid}\n" in made.parts["target.txt"]
    silent = f"{program.socket_path} has not answered within 1 s\n"
    assert made.parts["answers/show-info.txt.failed"] == silent
    assert made.parts["answers/show-why.txt.failed"] == silent
    assert made.parts["answers/show-stat.txt.failed"].startswith("not asked: ")
    assert "T (stopped)" in made.parts[f"processes/{program.process.pid}-main/status"]
    assert made.named(f"processes/{children['worker'][0]}-worker")
    assert "parts are missing: see parts.txt" in made.said
    assert "answers/show-info.txt: FAILED: " in made.parts["parts.txt"]


def test_a_pid_file_leads_to_the_rest(tmp_path: Path, out: Path) -> None:
    text = CONFIGURATION.replace("@folder@/pid", "elsewhere").replace("  pidfile elsewhere\n", "")
    text = text.replace("@1@", str(free_port())).replace("@2@", str(free_port()))
    pidfile = str(tmp_path / "pid")
    with Program(tmp_path, text, "-p", pidfile, executed=True) as program:
        by_file = Reported(out, "-p", pidfile)
        by_file.path.unlink()
        words = [sys.executable, "-m", "proxy", "-p", pidfile, "show", "info"]
        asked = subprocess.run(words, capture_output=True, text=True, check=False)
        assert f"Pid: {program.process.pid}\n" in asked.stdout, asked.stderr
        Path(f"{pidfile}.ping").unlink()
        by_pid = Reported(out, str(program.process.pid))
    assert not [name for name in by_file.parts if name.endswith(".failed")], by_file.said
    assert by_pid.parts["ping.txt.failed"] == f"{pidfile}.ping: No such file or directory\n"
    assert "written (1 part is missing: see parts.txt)" in by_pid.said
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert asked.stderr.startswith(f"millrace: {pidfile} names no process that runs: name the ")
    for made in (by_file, by_pid):
        assert f"files: {program.file}\n" in made.parts["target.txt"]
        assert f"pid file: {pidfile}\n" in made.parts["target.txt"]
        assert f"Pid: {program.process.pid}\n" in made.parts["answers/show-info.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_finds_what_is_named_by_whole_paths(tmp_path: Path) -> None:
    text = CONFIGURATION.replace("@folder@", str(tmp_path))
    text = text.replace("@1@", str(free_port())).replace("@2@", str(free_port()))
    pidfile = os.path.relpath(tmp_path / "pid")  # not a whole path: it is not looked for
    with Program(tmp_path, text, "-f", ".", "-p", pidfile, executed=True) as program:
        pid = program.process.pid
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(65_534)
            os.setuid(65_534)
            found = command_line_of(pid)
            os.write(writing, f"{found.files} {found.pidfile}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 4_096).decode() == f"{(str(program.file),)} None"
        os.close(reading)
        os.close(writing)


def test_a_refusal_is_an_answer(tmp_path: Path, out: Path) -> None:
    text = CONFIGURATION.replace("level admin", "level user").replace(
        "  pidfile @folder@/pid\n", ""
    )
    text = text.replace("@1@", str(free_port())).replace("@2@", str(free_port()))
    with Program(tmp_path, text, executed=True) as program:
        made = Reported(out, str(program.socket_path))
    denied = [text for name, text in made.parts.items() if text.startswith("Permission denied")]
    assert len(denied) > 2
    assert made.named("answers/show-cli-sockets.txt")
    assert "not asked" not in made.said
    assert made.parts["ping.txt.failed"] == "no pid file is known: name it with -p\n"


def test_no_program_at_all(program: Program, out: Path) -> None:
    program.stop()
    made = Reported(out, "-f", str(program.file))
    assert made.parts["processes.failed"].startswith("no main process was found")
    assert "No such file" in made.parts["answers/show-info.txt.failed"]
    assert "server s1" in made.parts["configuration/1-millrace.cfg"]
    assert "kernel/meminfo" in made.parts
    told = f"{out.parent}/pid.ping: No such file or directory\n"
    assert made.parts["ping.txt.failed"] == told
    there_is_none = Reported(out, "4194304")
    assert "answers/show-info.txt.failed" in there_is_none.parts


def test_a_file_that_cannot_be_written(out: Path) -> None:
    assert refused("/proc").startswith("millrace: cannot write /proc/millrace-report-")
    assert refused(out, "be_a").startswith("millrace: 'be_a' is neither a pid nor a stats socket")
    assert "one socket or pid may follow 'report', not 'b', too" in refused(out, "a", "b")
    assert "'-D' is not for the command 'report'" in refused(out, "-D")
    assert not list(out.iterdir())
