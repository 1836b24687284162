"""What fits into the descriptors of a worker: counted, raised, told and kept, at start and reload."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from proxy.capacity import CHECKS_MIN, Capacity, capacity, descriptors_needed
from proxy.config.loader import load
from proxy.config.model.settings import Settings
from tests.support.common import free_port, require_program, wait_for
from tests.support.program.program import NamedBackend, Program
from tests.support.servers import Server, echo, receive_count

HOST = "127.44.7.1"
SECONDS = 30.0
Address = tuple[str, int]


def configuration(words: str, binds: str, servers: str = "server a 127.0.0.1:1") -> str:
    return (
        f"global\n    {words}\n    stats socket {{socket}} level admin\ndefaults\n    mode tcp\n"
        "    timeout client 600s\n    timeout server 600s\n    timeout connect 1s\n"
        f"listen web\n    {binds}\n    {servers}\n"
    )


def settings_of(
    folder: Path, words: str, binds: int = 1, servers: str = "server a 127.0.0.1:1"
) -> Settings:
    file = folder / "pure.cfg"
    lines = "\n    ".join(f"bind 127.0.0.1:{port}" for port in range(1, binds + 1))
    file.write_text(configuration(words, lines, servers).replace("{socket}", "/nowhere"))
    settings = load([str(file)], environ={}).settings
    assert settings is not None
    return settings


@pytest.mark.parametrize("workers", [1, 2, 7, 16])
@pytest.mark.parametrize("sessions", [1, 100, 5_000])
def test_what_is_needed_for_sessions_has_room_for_them(
    tmp_path: Path, workers: int, sessions: int
) -> None:
    servers = "\n    ".join(f"server s{number} 127.0.0.1:1 check" for number in range(9))
    settings = settings_of(tmp_path, "nbthread 1", 3, servers)
    needed = descriptors_needed(settings, workers, 3 * workers, sessions)
    assert capacity(settings, workers, 3 * workers, needed).sessions >= sessions


def test_every_descriptor_is_counted_once(tmp_path: Path) -> None:
    servers = "\n    ".join(f"server s{number} 127.0.0.1:1 check" for number in range(10))
    settings = settings_of(tmp_path, "maxconn 50", 1, servers)
    found = capacity(settings, 2, 2, 1_000)
    # 64 reserved, 2 sockets, 6 bells, 5 checks, 62 pipes of two: the rest in twos
    assert found == Capacity(1_000, 2, (1_000 - 64 - 2 - 6 - 5 - 2 * 62) // 2, 62, 5, 50)


@pytest.mark.parametrize(
    ("maxpipes", "workers", "pipes"),
    [(0, 2, 62), (123, 2, 61), (10, 3, 3), (2, 2, 1), (1, 2, 0), (100_000, 2, 62)],
)
def test_workers_share_the_pipes_that_maxpipes_allows(
    tmp_path: Path, maxpipes: int, workers: int, pipes: int
) -> None:
    settings = settings_of(tmp_path, f"maxpipes {maxpipes}")
    assert capacity(settings, workers, workers, 1_000).pipes == pipes


def test_checks_leave_room_for_sessions(tmp_path: Path) -> None:
    servers = "\n    ".join(f"server s{number} 127.0.0.1:1 check" for number in range(3_000))
    settings = settings_of(tmp_path, "maxconn 50", 1, servers)
    assert capacity(settings, 1, 1, 20_000).checks == 3_000
    assert capacity(settings, 1, 1, 4_000).checks == 1_000
    assert capacity(settings, 1, 1, 100).checks == CHECKS_MIN
    assert capacity(settings, 1, 1, 100).sessions == 0


@pytest.fixture
def limited() -> tuple[str, ...]:
    """Words that run a program with 1,024 of 4,096 descriptors, and no right to raise that."""
    words = [require_program("prlimit"), "--nofile=1024:4096"]
    if os.geteuid() == 0:
        capability = "-sys_resource"
        words += [require_program("setpriv"), "--bounding-set", capability]
        words += ["--inh-caps", capability]
    return tuple(words)


def limit_of(pid: int) -> int:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return int(limits.partition("Max open files")[2].split()[0])


def worker_limits(program: Program) -> set[int]:
    limits = set()
    for pid in program.children().get("worker", []):
        with suppress(OSError):
            limits.add(limit_of(pid))
    return limits


def info(program: Program) -> dict[str, str]:
    lines = (line.partition(": ") for line in program.ask("show info").splitlines())
    return {name: value for name, _, value in lines}


@pytest.mark.slow
def test_a_start_counts_addresses_times_workers(tmp_path: Path, limited: tuple[str, ...]) -> None:
    ports = "\n    ".join(f"bind 127.44.7.{place}:{free_port()}" for place in range(1, 131))
    text = configuration("nbthread 8\n    maxconn 400", ports)
    with Program(tmp_path, text, wrapper=limited) as program:
        wait_for(lambda: len(worker_limits(program)) == 1, SECONDS, "workers have one limit")
        (limit,) = worker_limits(program)
        assert 8 * 130 + 800 < limit <= 4_096
        assert int(info(program)["Hard_maxconn"]) >= 8 * 400


@pytest.mark.slow
def test_a_reload_raises_the_limit_for_more_sessions(tmp_path: Path) -> None:
    bind = f"bind {HOST}:{free_port()}"
    wrapper = (require_program("prlimit"), "--nofile=300:20000")
    with Program(tmp_path, configuration("maxconn 20", bind), wrapper=wrapper) as program:
        assert info(program)["Maxconn"] == "20"
        program.write(configuration("maxconn 5000", bind))
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: maxconn(program) == "5000", SECONDS, "the reload lets more in")
        assert int(info(program)["Ulimit-n"]) > 10_000
        program.write(configuration("maxconn 30", bind))
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: maxconn(program) == "30", SECONDS, "the next one fewer")
        assert int(info(program)["Ulimit-n"]) < 1_000


@pytest.mark.slow
def test_no_session_waits_for_the_kernel_s_table_to_grow(tmp_path: Path) -> None:
    """In its first workers and in the successor of a killed one."""
    bind = f"bind {HOST}:{free_port()}"
    with Program(tmp_path, configuration("nbthread 2\n    maxconn 5000", bind)) as program:
        wait_for(lambda: tables(program) == 2, SECONDS, "both have the whole table")
        first, second = program.children()["worker"]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: first not in program.children()["worker"], SECONDS, "one has ended")
        wait_for(lambda: tables(program) == 2, SECONDS, "its successor has it, too")
        assert second in program.children()["worker"]


def tables(program: Program) -> int:
    """How many workers have a table of descriptors that is as large as their limit."""
    count = 0
    for pid in program.children().get("worker", []):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            count += int(status.partition("FDSize:")[2].split()[0]) >= limit_of(pid) > 10_000
    return count


def maxconn(program: Program) -> str:
    with suppress(OSError):
        return info(program).get("Maxconn", "")
    return ""


@pytest.mark.slow
def test_a_reload_for_which_descriptors_are_missing_says_which_and_changes_nothing(
    tmp_path: Path, limited: tuple[str, ...]
) -> None:
    bind = f"bind {HOST}:{free_port()}"
    with Program(tmp_path, configuration("maxconn 20", bind), wrapper=limited) as program:
        children = program.children()
        program.write(configuration("maxconn 5000", bind))
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "nothing changed" in program.output.read_text(), SECONDS, "it is told")
        text = program.output.read_text()
        assert "FD limit (4096) too low for maxconn 5000" in text
        assert "Please raise 'ulimit-n' to 1" in text
        assert program.children() == children
        assert info(program)["Maxconn"] == "20"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("maxconn 5000", "Cannot raise FD limit to"),
        ("maxconn 5000", "FD limit (4096) too low for maxconn 5000 with"),
        ("ulimit-n 300\n    maxconn 1000", "FD limit (300) too low for maxconn 1000 with"),
        ("fd-hard-limit 300\n    maxconn 1000", "FD limit (300) too low for maxconn 1000 with"),
        ("ulimit-n 70", "FD limit (70) leaves no room for sessions"),
    ],
)
def test_a_start_without_enough_descriptors_is_an_alert(
    tmp_path: Path, limited: tuple[str, ...], words: str, complaint: str
) -> None:
    text = configuration(words, f"bind {HOST}:{free_port()}")
    with Program(tmp_path, text, wrapper=limited, wait=False) as program:
        assert program.process.wait(SECONDS) == 1
        output = program.output.read_text()
        assert "[ALERT]" in output
        assert complaint in output
        assert "Traceback" not in output


@pytest.mark.slow
def test_limits_that_are_not_strict_are_told_and_kept(
    tmp_path: Path, limited: tuple[str, ...]
) -> None:
    text = configuration("no strict-limits\n    maxconn 9000", f"bind {HOST}:{free_port()}")
    with Program(tmp_path, text, wrapper=limited) as program:
        output = program.output.read_text()
        assert "[WARNING]" in output
        assert "too low for maxconn 9000 with" in output
        assert info(program)["Ulimit-n"] == "4096"


@pytest.fixture
def backend() -> Iterator[NamedBackend]:
    server = NamedBackend("127.44.7.2", 0)
    yield server
    server.close()


@pytest.mark.slow
def test_as_many_sessions_are_let_in_as_are_shown(tmp_path: Path, backend: NamedBackend) -> None:
    address = (HOST, free_port())
    servers = f"server a {backend.address}:{backend.port}"
    bind = f"bind {HOST}:{address[1]}"
    text = configuration("nbthread 1\n    ulimit-n 260", bind, servers)
    with Program(tmp_path, text) as program, ExitStack() as clients:
        limit = int(info(program)["Hard_maxconn"])
        assert limit == int(info(program)["Maxconn"])
        for _ in range(limit + 5):
            clients.enter_context(socket.create_connection(address, SECONDS))
        wait_for(lambda: info(program)["CurrConns"] == str(limit), SECONDS, "all that fit are in")
        served = program.ask("show info").count("PoolFailed: 0")
        assert served == 1, "the kernel never refused a descriptor"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sessions_beyond_maxpipes_are_copied(tmp_path: Path, workers: int) -> None:
    """With one pipe each worker has that one, or none where two workers share it."""
    address = (HOST, free_port())
    with Server(echo) as server, ExitStack() as clients:
        backend = f"server a {server.host}:{server.port}"
        words = f"nbthread {workers}\n    maxpipes 1"
        text = configuration(words, f"bind {HOST}:{address[1]}", backend)
        with Program(tmp_path, text) as program:
            assert info(program)["Maxpipes"] == str(2 - workers)
            sent = random.Random(5).randbytes(4_000_000)
            made = [
                clients.enter_context(socket.create_connection(address, SECONDS)) for _ in range(4)
            ]
            senders = [threading.Thread(target=client.sendall, args=(sent,)) for client in made]
            for sender in senders:
                sender.start()
            # read one after the other: the sessions not read from yet are in the middle of bulk
            assert [receive_count(client, len(sent)) == sent for client in made] == [True] * 4
            for sender in senders:
                sender.join()
            shown = info(program)
            assert (int(shown["TotalSplicedBytesOut"]) > 0) == (workers == 1)
            assert int(shown["PipesUsed"]) + int(shown["PipesFree"]) <= 2 - workers
