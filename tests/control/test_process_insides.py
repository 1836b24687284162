"""`show fd|threads|pools|tasks|libs`: what they tell is what /proc has of the real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program, greet

CONFIGURATION = """
global
  stats socket {socket} level admin
  nbthread 2
  MORE
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
resolvers r
  nameserver n 127.0.0.1:NAMES
frontend fe
  bind 127.0.0.1:PORT
  bind unix@FOLDER/fe
  tcp-request connection track-sc0 src table seen
  default_backend be
backend seen
  stick-table type ip size 100 expire 1m store conn_cnt
backend be
  server s1 127.0.0.1:SERVER
backend checked
  server c1 127.0.0.1:SERVER check inter 1h
  server c2 127.0.0.1:SERVER check disabled
  server c3 name.example:80 check resolvers r init-addr none
"""


class Inside:
    """A program, its server and where it listens."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.server = NamedBackend("127.0.0.1", 0)
        self.port = free_port()
        text = CONFIGURATION.replace("PORT", str(self.port)).replace("FOLDER", str(folder))
        text = text.replace("SERVER", str(self.server.port)).replace("NAMES", str(free_port()))
        self.program = Program(folder, text.replace("MORE", more))
        self.ask = self.program.ask
        wait_for(self.is_ready, 10, "each process says that it is ready")

    def is_ready(self) -> bool:
        return self.ask("show threads").count(" : ready main_beat=") == len(self.pids()) - 1

    def pids(self) -> dict[int, str]:
        """Each process of the program by its pid."""
        found = {self.program.process.pid: "supervisor"}
        for kind, pids in self.program.children().items():
            found |= dict.fromkeys(pids, kind)
        return found

    def pids_of(self, kind: str) -> list[int]:
        return self.program.children()[kind]

    def close(self) -> None:
        self.program.stop()
        self.server.close()


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    made = Inside(tmp_path_factory.mktemp("inside"))
    yield made
    made.close()


def by_process(text: str, heads: str = r"# .*\(process (\d+)\)") -> dict[int, list[str]]:
    """The lines behind the head of each process, the head first."""
    found: dict[int, list[str]] = {}
    pid = 0
    for line in filter(None, text.splitlines()):
        if head := re.match(heads, line):
            pid = int(head[1])
        found.setdefault(pid, []).append(line)
    return found


# -- descriptors --------------------------------------------------------------------------------


def numbers(lines: list[str]) -> set[int]:
    return {int(line.split()[0]) for line in lines[1:]}


def test_each_descriptor_of_each_process_is_shown(inside: Inside) -> None:
    shown = by_process(inside.ask("show fd"))
    assert shown.keys() == inside.pids().keys()
    for pid, kind in inside.pids().items():
        if kind in ("supervisor", "worker"):  # the others open and close some by themselves
            there = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            assert numbers(shown[pid]) == there
            assert f": {len(there)} descriptors, at most " in shown[pid][0]


def test_both_sides_of_a_session_are_told_by_their_addresses(inside: Inside) -> None:
    greeted = greet(("127.0.0.1", inside.port))
    assert greeted is not None
    with greeted[1] as client:
        host, port = client.getsockname()
        clients = inside.ask("show fd f")
        ours = (
            f"socket tcp ESTABLISHED 127.0.0.1:{inside.port}<{host}:{port} unread=0 unsent=0 fe=fe"
        )
        assert len(re.findall(re.escape(ours), clients)) == 1
        assert " fe=GLOBAL" in clients  # who asks
        servers = re.findall(r"socket tcp ESTABLISHED \S+>(\S+) unread", inside.ask("show fd s"))
        assert servers == [f"127.0.0.1:{inside.server.port}"]
        assert "clients=1 servers=1" in inside.ask("show fd l")
    wait_for(lambda: ours not in inside.ask("show fd f"), 10, "the session has ended")


def test_a_unix_socket_is_told_by_its_path(inside: Inside) -> None:
    path = str(inside.program.folder / "fe")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert client.recv(100)
        said = inside.ask("show fd")
    assert said.count(f"socket unix LISTEN {path} fe=fe\n") == 4  # all but resolverd
    assert said.count(f"socket unix ESTABLISHED {path} fe=fe\n") == 1


def test_letters_and_numbers_choose(inside: Inside) -> None:
    def kinds(words: str) -> set[str]:
        said = inside.ask(f"show fd {words}")
        return {line.split()[2] for line in said.splitlines() if re.match(r" +\d+ : ", line)}

    assert kinds("p") == {"pipe"}
    assert kinds("lp") == kinds("l p") == {"pipe", "socket"}
    assert "pipe" in kinds("!l")
    assert "pipe" not in kinds("-pl")
    assert kinds("d") == set()
    one = inside.ask("show fd 0")
    assert set(re.findall(r"^ +(\d+) : file /dev/null$", one, re.M)) == {"0"}
    assert inside.ask("show fd nope").startswith("'show fd' expects a descriptor number")


def test_who_may_ask(inside: Inside) -> None:
    for command in ("show fd", "show libs"):
        assert inside.ask(f"user;{command}") == "\nPermission denied\n\n"
        assert "denied" not in inside.ask(f"operator;{command}")
    for command in ("show pools", "show tasks", "show threads"):
        assert "denied" not in inside.ask(f"user;{command}")


@pytest.mark.skipif(os.getuid() != 0, reason="another user needs root")
def test_what_the_kernel_hides_is_said_and_the_rest_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made = Inside(tmp_path, "user nobody")
    try:
        (worker, _), (control,) = made.pids_of("worker"), made.pids_of("control")
        shown = by_process(made.ask("show fd"))
        assert "; 0 sessions, 0 pipes in use; the program has changed its user" in shown[worker][0]
        assert f"socket LISTEN 127.0.0.1:{made.port} fe=fe" in "\n".join(shown[worker])
        assert len(numbers(shown[control])) > 10
        libraries = made.ask("show libs")
        assert f"root alone may see it in /proc/{worker}\n" in libraries
        assert f"# control (process {control})\n0x" in libraries
        assert str(worker) in made.ask("show threads")  # which everybody may see
    finally:
        made.close()


@pytest.mark.skipif(os.getuid() != 0, reason="chroot needs root")
def test_without_proc_there_is_what_the_segment_says(tmp_path: Path) -> None:
    (tmp_path / "jail").mkdir()
    made = Inside(tmp_path, f"chroot {tmp_path}/jail")
    try:
        worker, _ = made.pids_of("worker")
        said = made.ask("show fd")
        assert f"(process {worker}): it lives; 0 sessions, 0 pipes in use; it has ended, or" in said
        assert said.count(f"socket LISTEN 127.0.0.1:{made.port} fe=fe") == 2
        cost = re.search(rf"process {worker}\) : ready .*\n.*now=(\d+)\n", made.ask("show threads"))
        assert cost is not None
        assert int(cost[1]) > 0
        assert pool(made.ask("show pools"), "segment_1")[1] == 1
        assert made.ask("show libs").count("there is no /proc in the chroot") == len(made.pids())
    finally:
        made.close()


def test_workers_of_an_old_generation_are_told_apart(tmp_path: Path) -> None:
    made = Inside(tmp_path)
    try:
        greeted = greet(("127.0.0.1", made.port))
        assert greeted is not None
        with greeted[1] as client:
            made.program.process.send_signal(signal.SIGUSR2)
            old = re.compile(r"worker \d of generation 1 \(process (\d+)\)")
            wait_for(lambda: old.search(made.ask("show threads")), 10, "the reload is done")
            shown = by_process(made.ask("show fd f"))
            (serving,) = (pid for pid, lines in shown.items() if client_line(client) in str(lines))
            assert old.search(shown[serving][0])
            assert pool(made.ask("show pools"), "segment_2")[1] == 1
    finally:
        made.close()


def client_line(client: socket.socket) -> str:
    (host, port), (our_host, our_port) = client.getsockname(), client.getpeername()
    return f"{our_host}:{our_port}<{host}:{port} "


# -- threads ------------------------------------------------------------------------------------


def test_each_thread_is_shown_with_what_it_has_cost(inside: Inside) -> None:
    shown = by_process(inside.ask("show threads"), r"[ *>] .*\(process (\d+)\)")
    assert shown.keys() - {0} == inside.pids().keys()
    for pid, kind in inside.pids().items():
        there = {entry.name for entry in Path(f"/proc/{pid}/task").iterdir()}
        assert set(re.findall(r" id=(\d+) ", "\n".join(shown[pid]))) == there
        assert shown[pid][0].startswith("*" if kind == "control" else " ")
    inside.ask("show stat;" * 200)
    again = inside.ask("show threads")
    assert re.match(r"# diff: over the \d+ ms since", again)
    worked = re.search(r"\* control .*\n.*diff=(\d+)", again)
    assert worked is not None
    assert int(worked[1]) > 1_000_000


def test_a_process_that_stands_still_is_marked(tmp_path: Path) -> None:
    made = Inside(tmp_path)
    try:
        worker, _ = made.pids_of("worker")
        begun = f"(process {worker}) : ready main_beat="
        wait_for(lambda: begun in made.ask("show threads"), 10, "the worker is ready")
        with made.program.stand_still(worker):
            mark = re.compile(rf"^> worker \d {re.escape(begun)}\d{{4,}}ms", re.M)
            wait_for(lambda: mark.search(made.ask("show threads")), 10, "it is told to be late")
    finally:
        made.close()


# -- memory -------------------------------------------------------------------------------------


def pool(text: str, name: str) -> tuple[int, ...]:
    """Size, pieces, bytes, pieces in use, bytes in use, failures, users."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"  - Pool {name} "))
    return tuple(map(int, re.findall(r"\d+", line.removeprefix(f"  - Pool {name} "))))


def test_memory_of_stalled_sessions_is_in_the_pools(tmp_path: Path) -> None:
    made = Inside(tmp_path, "nosplice")
    try:
        assert pool(made.ask("show pools"), "session")[1] == 0
        greeted = greet(("127.0.0.1", made.port))
        assert greeted is not None
        with greeted[1] as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            flood = threading.Thread(target=send_without_reading, args=(client,), daemon=True)
            flood.start()  # the server echoes what nobody reads

            def held() -> int:
                return pool(made.ask("show pools"), "stalled")[4]

            wait_for(lambda: held() > 0, PATIENCE_SECONDS, "the relay holds bytes")
            flood.join()
            said = made.ask("show info;show pools")
            used = re.search(r"^PoolUsed_bytes: (\d+)$", said, re.M)
            assert used is not None
            assert pool(said, "stalled")[4] == int(used[1])
            assert pool(said, "session")[1] == 1
    finally:
        made.close()


def send_without_reading(client: socket.socket) -> None:
    client.settimeout(1)
    try:
        while True:
            client.sendall(bytes(65_536))
    except OSError:
        return


def test_tables_segments_and_processes_are_counted(inside: Inside) -> None:
    inside.ask("set table seen key 10.0.0.1 data.conn_cnt 1")
    said = inside.ask("show pools")
    assert pool(said.replace("any size", "0"), "table_seen")[1] == 100
    assert pool(said.replace("any size", "0"), "table_seen")[3] >= 1
    assert pool(said, "segment_1")[1] == 1
    for pid in inside.pids():
        told = re.search(rf"\(process {pid}\): (\d+) bytes of its own, (\d+) shared", said)
        assert told is not None
        status = Path(f"/proc/{pid}/status").read_text()
        anonymous = int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
        assert int(told[1]) == pytest.approx(anonymous, rel=0.2)


def test_words_order_and_choose_pools(inside: Inside) -> None:
    def names(words: str) -> list[str]:
        return re.findall(r"- Pool (\S+) ", inside.ask(f"show pools {words}"))

    assert names("byname") == sorted(names(""))
    assert names("byusage")[0] == "segment_1"
    assert names("bysize 2") == ["segment_1", "pipe"]
    assert names("match se") == ["segment_1", "session"]
    assert inside.ask("show pools nope").startswith("'show pools' expects byname")


# -- tasks --------------------------------------------------------------------------------------


def tasks(text: str) -> dict[str, list[int]]:
    """Places, running, paused, late by function."""
    rows = re.findall(r"^  (\S.*?) +(\d+) +(\d+) +(\d+) +(\d+)$", text, re.M)
    return {name: list(map(int, cells)) for name, *cells in rows}


def test_tasks_are_what_the_configuration_has(inside: Inside) -> None:
    paused = [3, 0, 2, 0]  # in maintenance, and without an address
    wait_for(lambda: tasks(inside.ask("show tasks"))["checks"] == paused, 10, "all are looked at")
    idle = tasks(inside.ask("show tasks"))
    assert idle["agents"] == idle["checks by programs"] == [0, 0, 0, 0]
    assert idle["names in DNS"][0] == 1
    assert idle["listeners"][0] == 3
    before = idle["sessions"]
    greeted = greet(("127.0.0.1", inside.port))
    assert greeted is not None
    with greeted[1]:
        assert tasks(inside.ask("show tasks"))["sessions"][:2] == [before[0] + 1, before[1] + 1]
    inside.ask("disable health checked/c1")
    wait_for(lambda: tasks(inside.ask("show tasks"))["checks"] == [3, 0, 3, 0], 10, "it is paused")


# -- libraries ----------------------------------------------------------------------------------


def test_libraries_are_those_that_are_mapped(inside: Inside) -> None:
    said = inside.ask("show libs")
    lines = re.findall(r"^0x([0-9a-f]+)-0x[0-9a-f]+ \(0x[0-9a-f]+\) (\S+)(?: (\S+))?", said, re.M)
    shown = {path: version for _, path, version in lines}
    worker = next(pid for pid, kind in inside.pids().items() if kind == "worker")
    maps = [line.split() for line in Path(f"/proc/{worker}/maps").read_text().splitlines()]
    mapped = {words[5] for words in maps if "x" in words[1] and words[5:] and words[5][0] == "/"}
    assert mapped <= shown.keys()
    versions = {Path(path).name.partition(".so")[0]: text for path, text in shown.items()}
    assert versions["libc"] == os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]
    assert versions["engine.cpython-311-x86_64-linux-gnu"] == inside.ask("show version").strip()
    first = said.splitlines()[0]
    assert Counter(re.findall(r"\(process (\d+)\)", first)).keys() <= set(map(str, inside.pids()))
