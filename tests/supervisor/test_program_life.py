"""The real program, end to end: start, deaths of its parts, reload, stop. Nothing is a stand-in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.supervisor.backend import GREETING, EchoBackend, echo_backend
from tests.support.supervisor.program import ROOT, Program, descendants, is_alive, started

pytestmark = pytest.mark.slow  # each test starts the program
HOST = "127.44.6.1"
BACKEND_HOST = "127.44.6.2"
Address = tuple[str, int]


class Site:
    """A folder with a configuration, the address it serves and its one backend server."""

    def __init__(self, folder: Path, backend: EchoBackend) -> None:
        self.folder = folder
        self.backend = backend
        self.address: Address = HOST, free_port()
        self.stats = str(folder / "stats.sock")
        self.path = str(folder / "edge.cfg")
        self.write()

    def write(self, workers: int = 2, more: str = "") -> None:
        server = f"{self.backend.address[0]}:{self.backend.address[1]}"
        Path(self.path).write_text(
            f"global\n    nbthread {workers}\n"
            f"    stats socket {self.stats} mode 600 level admin\n"
            "defaults\n    mode tcp\n    timeout client 600s\n    timeout server 600s\n"
            "    timeout connect 2s\n"
            f"listen web\n    bind {HOST}:{self.address[1]}\n    server a {server}\n{more}"
        )

    def ask(self, command: str) -> str:
        """One command on the stats socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(self.stats)
            client.sendall(command.encode() + b"\n")
            answer = b""
            while content := client.recv(65_536):
                answer += content
        return answer.decode()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with echo_backend(BACKEND_HOST) as backend:
        yield Site(tmp_path, backend)


@pytest.fixture
def program(site: Site) -> Iterator[Program]:
    with started(site.folder, "-f", site.path, real=True) as program:
        await_forwarding(site.address)
        wait_for(
            lambda: set(program.titles()) == {"control", "worker 0", "worker 1"}, 15, "all children"
        )
        yield program


def connect(address: Address) -> socket.socket:
    """A client that has heard from the backend."""
    client = socket.create_connection(address, PATIENCE_SECONDS)
    try:
        heard = b""
        while len(heard) < len(GREETING):
            more = client.recv(100)
            if not more:
                raise ConnectionResetError(f"closed after {heard!r}")
            heard += more
    except OSError:
        client.close()
        raise
    return client


def await_forwarding(address: Address) -> None:
    def try_once() -> bool:
        with contextlib.suppress(OSError):
            connect(address).close()
            return True
        return False

    wait_for(try_once, 15, "the first byte is forwarded")


def echoes(client: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        client.sendall(b"anybody there?\n")
        return client.recv(100) == b"anybody there?\n"
    return False


def holders(clients: list[socket.socket], pids: list[int]) -> list[int]:
    """The process that holds the proxy's end of each client's connection."""
    inodes = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        inodes[words[1], words[2]] = words[9]
    held = {}
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held[os.readlink(entry).removeprefix("socket:[").rstrip("]")] = pid  # noqa: PTH115

    def end(address: tuple[str, int]) -> str:
        host = int.from_bytes(socket.inet_aton(address[0]), "little")
        return f"{host:08X}:{address[1]:04X}"

    return [held[inodes[end(c.getpeername()), end(c.getsockname())]] for c in clients]


class Clients:
    """Connects, is greeted and leaves, without pause; every failure is kept."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.served = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                connect(self.address).close()
                self.served += 1
            except OSError as error:
                self.failures.append(f"{time.monotonic():.3f} {error!r}")

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def old_ones_left(program: Program, count: int) -> None:
    wait_for(lambda: len(program.titles_all()) == count, 15, f"{count} processes are left")


def reload(program: Program) -> None:
    done = program.text().count("reload done")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: program.text().count("reload done") > done, 10, "the reload is done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_open_sessions(program: Program, site: Site, number: signal.Signals) -> None:
    with connect(site.address):
        children = list(program.titles().values())
        program.signal(number)
        assert program.wait() == -number
    assert not any(map(is_alive, children))
    assert not Path(site.stats).exists()
    with socket.create_server(site.address):
        pass


def can_listen(address: Address) -> bool:
    """Whether the port is free: a killed process keeps it until its last thread is gone."""
    try:
        socket.create_server(address).close()
    except OSError:
        return False
    return True


def test_killed_supervisor_takes_everything_along(program: Program, site: Site) -> None:
    children = list(program.titles().values())
    with connect(site.address):
        program.signal(signal.SIGKILL)
        program.wait()
        wait_for(lambda: not any(map(is_alive, children)), 1, "the children are gone")
    wait_for(lambda: can_listen(site.address), 1, "the port is free")
    assert not [entry for entry in Path("/dev/shm").iterdir() if "millrace" in entry.name]


def test_a_killed_worker_loses_its_own_sessions_and_no_others(program: Program, site: Site) -> None:
    workers = [pid for name, pid in program.titles().items() if name.startswith("worker")]
    with contextlib.ExitStack() as stack:
        clients: list[socket.socket] = []

        def both_have_some() -> bool:  # while one of them has no turn its sibling takes all
            clients.extend(stack.enter_context(connect(site.address)) for _ in range(16))
            return set(holders(clients, workers)) == set(workers)

        wait_for(both_have_some, 5, "sessions of both workers")
        owners = holders(clients, workers)
        os.kill(workers[1], signal.SIGKILL)
        for client, owner in zip(clients, owners, strict=True):
            assert echoes(client) == (owner == workers[0])
        for _ in range(20):
            connect(site.address).close()
    wait_for(lambda: program.titles().get("worker 1", workers[1]) != workers[1], 1, "it is back")


@pytest.mark.parametrize("name", ["control", "worker 0"])
def test_it_goes_on_while_something_is_killed_again_and_again(
    program: Program, site: Site, name: str
) -> None:
    with connect(site.address) as client:
        spared = [pid for title, pid in program.titles().items() if title.startswith("worker")]
        is_victims = name.startswith("worker") and holders([client], spared)[0] == spared[0]
        for _ in range(3):
            os.kill(program.pid_of(name), signal.SIGKILL)
            connect_patiently(site.address)
        assert echoes(client) != is_victims


def connect_patiently(address: Address) -> None:
    """A client that a killed worker had accepted may be lost; the next one must be served."""
    try:
        connect(address).close()
    except ConnectionResetError:
        connect(address).close()


def test_no_client_is_refused_or_reset_while_the_number_of_workers_changes(
    program: Program, site: Site
) -> None:
    with Clients(site.address) as clients, connect(site.address) as old:
        for workers in (1, 2, 1, 2):
            site.write(workers)
            reload(program)
        assert echoes(old), "a session of the first generation goes on"
    assert clients.failures == []
    assert clients.served > 50
    old_ones_left(program, 3)


def test_an_invalid_reload_changes_nothing(program: Program, site: Site) -> None:
    children = program.titles()
    site.write(more="listen broken\n    blance source\n")
    with Clients(site.address) as clients, connect(site.address) as client:
        program.signal(signal.SIGUSR2)
        wait_for(lambda: "reload failed, nothing changed" in program.text(), 10, "it is told")
        assert echoes(client)
    assert clients.failures == []
    wait_for(lambda: program.titles() == children, 10, "the helper has ended, too")


def test_orders_and_counters_survive_a_reload(program: Program, site: Site) -> None:
    with connect(site.address) as client:
        site.ask("set server web/a weight 77")
        assert "77" in site.ask("get weight web/a") or "77" in site.ask("show servers state")

        def total() -> int:
            rows = [line.split(",") for line in site.ask("show stat").splitlines()]
            columns = rows[0]
            server = next(row for row in rows if row[:2] == ["web", "a"])
            return int(server[columns.index("stot")])

        before = total()
        assert before > 0
        reload(program)
        assert total() >= before
        state = next(
            line.split() for line in site.ask("show servers state").splitlines() if " web " in line
        )
        assert state[7] == "77"
        assert echoes(client)
    old_ones_left(program, 3)
    assert total() >= before


def test_statistics_go_on_over_http_through_a_reload(site: Site) -> None:
    port = free_port()
    metrics = (
        f"frontend metrics\n    mode http\n    bind {HOST}:{port}\n"
        "    http-request use-service prometheus-exporter if { path /metrics }\n"
    )

    def scrape() -> str:
        with urllib.request.urlopen(
            f"http://{HOST}:{port}/metrics", timeout=PATIENCE_SECONDS
        ) as answer:
            return answer.read().decode()

    site.write(more=metrics)
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        await_forwarding(site.address)
        assert "haproxy_server_sessions_total" in scrape()
        reload(program)
        assert "haproxy_server_sessions_total" in scrape()
        site.write()
        reload(program)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((HOST, port), PATIENCE_SECONDS).close()


def test_a_soft_stop_waits_for_sessions_and_refuses_new_ones(program: Program, site: Site) -> None:
    with connect(site.address) as client:
        program.signal(signal.SIGUSR1)

        def refused() -> bool:
            try:
                connect(site.address).close()
            except ConnectionRefusedError:
                return True
            return False  # a reset fails the test

        wait_for(refused, 15, "new clients are refused")
        assert echoes(client)
        assert program.child.poll() is None
    assert program.wait() == 0


def test_in_the_background_with_a_pid_file(site: Site) -> None:
    pidfile = site.folder / "pid"
    result = subprocess.run(
        [sys.executable, "-m", "proxy", "-D", "-p", str(pidfile), "-f", site.path],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        cwd=ROOT,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    pid = int(pidfile.read_text())
    children = [child for child, _ in descendants(pid)]
    try:
        connect(site.address).close()
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not any(map(is_alive, [pid, *children])), 1, "everything ended")


def test_systemd_hears_ready_when_clients_are_served(site: Site) -> None:
    path = str(site.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE_SECONDS)
        environ = {"NOTIFY_SOCKET": path}
        with started(
            site.folder, "-Ws", "-f", site.path, real=True, executed=True, environ=environ
        ) as program:
            assert manager.recv(500).startswith(b"READY=1")
            connect(site.address).close()
            program.signal(signal.SIGTERM)
            assert program.wait() == 0
