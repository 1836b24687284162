"""Real worker processes: forked on a real segment, with the real relay thread."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from proxy.config.model.settings import Check
from proxy.runtime import Runtime, now_ms
from proxy.worker.process import TICK_SECONDS, Worker, run
from shm.states import Operational, ProcessCommand, ProcessState
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.relay.worker import QUICK, Site, Spec, settings_of, site

ROOT = Path(__file__).parents[2]


class Named(socketserver.ThreadingTCPServer):
    """A server that says its name to each client, then echoes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int = 0) -> None:
        super().__init__((host, port), NamedHandler)
        self.host, self.port = host, self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def end(self) -> None:
        """Refuse from now on."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class NamedHandler(socketserver.BaseRequestHandler):
    """One connection of a `Named` server."""

    def handle(self) -> None:
        assert isinstance(self.server, Named)
        self.request.sendall(f"{self.server.host}\n".encode())
        while data := self.request.recv(65536):
            self.request.sendall(data)


@contextmanager
def named(*hosts: str) -> Iterator[list[Named]]:
    servers = [Named(host) for host in hosts]
    try:
        yield servers
    finally:
        for server in servers:
            server.end()


def specs(servers: list[Named], check: Check | None = QUICK) -> list[Spec]:
    return [Spec(server.host, server.port, check) for server in servers]


def started(made: Site, *workers: int) -> None:
    for worker in workers or range(made.runtime.workers):
        made.fork(worker, run)
    for worker in workers or range(made.runtime.workers):
        wait_for(
            lambda worker=worker: made.board.status(worker).state == ProcessState.READY,
            10,
            f"worker {worker} ready; {made.log.read()}",
        )


def client(made: Site) -> socket.socket:
    address = made.runtime.listeners[0].socket.getsockname()
    return socket.create_connection(address, timeout=PATIENCE_SECONDS)


def ask_name(made: Site) -> str:
    with client(made) as connection, connection.makefile() as answer:
        return answer.readline().strip()


def test_a_worker_says_when_it_is_ready_beats_and_forwards() -> None:
    with named("127.78.0.1") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        assert ask_name(made) == "127.78.0.1"
        first_ms = made.board.status(0).main_beat_ms
        assert 0 < first_ms <= now_ms()
        wait_for(lambda: made.board.status(0).main_beat_ms > first_ms, 5, "a second beat")
        assert TICK_SECONDS < 1  # a heartbeat is due each second
        wait_for(lambda: made.health(0).health == 4, 5, "checked")


def test_the_command_to_stop_ends_the_process_with_status_zero() -> None:
    with named("127.78.0.2") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        made.command(0, ProcessCommand.STOP)
        assert made.reap(0) == 0


def test_a_soft_stop_finishes_open_sessions_and_checks_no_more() -> None:
    with named("127.78.0.3") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        with client(made) as connection, connection.makefile() as answer:
            assert answer.readline().strip() == "127.78.0.3"
            made.command(0, ProcessCommand.SOFT_STOP)
            wait_for(lambda: made.board.status(0).state == ProcessState.STOPPING, 5, "stopping")
            checked_ms = made.health(0).checked_ms
            for _ in range(20):
                connection.sendall(b"still here\n")
                assert answer.readline() == "still here\n"
            wait_for(lambda: now_ms() > checked_ms + 3 * QUICK.inter_ms, 5, "three intervals later")
            assert made.health(0).checked_ms == checked_ms
            assert os.waitpid(made.pids[0], os.WNOHANG) == (0, 0)
        assert made.reap(0) == 0


def test_sigterm_ends_a_worker_at_once_by_its_default_action() -> None:
    with named("127.78.0.4") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        assert os.WTERMSIG(made.kill(0, signal.SIGTERM)) == signal.SIGTERM


def test_signals_are_blocked_in_the_relay_thread_only() -> None:
    with named("127.78.0.5") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        pid = made.pids[0]
        masks = {}
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for line in (thread / "status").read_text().splitlines():
                if line.startswith("SigBlk:"):
                    masks[int(thread.name)] = int(line.split()[1], 16)
        bit = 1 << (signal.SIGTERM - 1)
        assert masks.pop(pid) & bit == 0
        assert masks
        assert all(mask & bit for mask in masks.values())


def test_a_killed_worker_is_replaced_and_resumes_the_health_it_left() -> None:
    refused = Spec("127.78.0.7", free_port())
    with (
        named("127.78.0.6") as servers,
        site(settings_of([*specs(servers), refused]), listen=True) as made,
    ):
        started(made)
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        wait_for(lambda: made.health(1).operational == Operational.STOPPED, 5, "down")
        made.kill(0)
        before = [made.health(slot) for slot in (0, 1)]
        started(made, 0)
        assert [ask_name(made) for _ in range(4)] == ["127.78.0.6"] * 4
        after = [made.health(slot) for slot in (0, 1)]
        assert (after[0].health, after[0].changed_ms) == (4, before[0].changed_ms)
        assert (after[1].operational, after[1].downs) == (Operational.STOPPED, 1)


def test_a_server_that_checks_take_down_gets_no_more_sessions_until_it_is_back() -> None:
    with named("127.78.0.8", "127.78.0.9") as servers:
        port = servers[1].port
        with site(settings_of(specs(servers)), workers=2, listen=True) as made:
            started(made)
            assert {ask_name(made) for _ in range(4)} == {"127.78.0.8", "127.78.0.9"}
            servers.pop().end()
            wait_for(lambda: made.health(1).operational == Operational.STOPPED, 5, "down")
            assert {ask_name(made) for _ in range(8)} == {"127.78.0.8"}
            servers.append(Named("127.78.0.9", port))
            wait_for(lambda: made.health(1).operational == Operational.RUNNING, 5, "up")
            wait_for(lambda: ask_name(made) == "127.78.0.9", 5, "used again")


def test_a_new_address_is_used_without_a_restart() -> None:
    with named("127.78.0.10", "127.78.0.11") as servers:
        unresolved = Spec(None, servers[0].port)
        settings = settings_of([unresolved])
        with site(settings, listen=True) as made:
            started(made)
            for server in servers:
                made.move(0, server.host, server.port)
                wait_for(lambda: ask_name(made) == server.host, 5, server.host)  # noqa: B023


def test_two_workers_of_one_number_cannot_live_together() -> None:
    with named("127.78.0.12") as servers, site(settings_of(specs(servers)), listen=True) as made:
        started(made)
        first = made.pids[0]
        made.fork(0, run)
        try:
            assert os.waitstatus_to_exitcode(made.reap(0)) != 0
        finally:
            made.pids[0] = first
        assert "SecondWriterError" in made.log.read()[-1]
        assert ask_name(made) == "127.78.0.12"


class UnaskedEnd:
    """A relay that ends at once."""

    running = False

    def run(self) -> None:
        """End."""

    def rebuild(self, backend: int) -> None:
        """Nothing to build."""


class BrokenBuild(UnaskedEnd):
    """A relay whose schedule cannot be built again."""

    def run(self) -> None:
        """Run for ever."""
        threading.Event().wait()

    def rebuild(self, backend: int) -> None:
        """Fail."""
        raise MemoryError("no schedule")


@pytest.mark.parametrize(
    ("relay", "line"),
    [(UnaskedEnd, "the relay of worker 0 ended unasked"), (BrokenBuild, "no schedule")],
)
def test_what_is_not_foreseen_ends_the_process_for_the_supervisor_to_replace(
    relay: type[UnaskedEnd], line: str
) -> None:
    def serve(runtime: Runtime, worker: int) -> NoReturn:
        os._exit(Worker(runtime, worker, lambda *_: relay()).serve())

    with site(settings_of([Spec("127.0.0.1", 9, None)])) as made:
        made.fork(0, serve)
        wait_for(lambda: made.board.status(0).main_beat_ms, 5, "a beat")
        made.move(0, "127.0.0.1", 10)
        assert os.waitstatus_to_exitcode(made.reap(0)) == 1
        assert line in made.log.read()[-1]


MODULES = """
import sys
import msgspec
from proxy.worker.process import run
own = set(sys.modules)
from tests.support.relay.worker import Spec, settings_of, site
of_the_test = set(sys.modules) - own

def body(runtime, worker):
    def log(level, text):
        runtime.log(level, ",".join(set(sys.modules) - of_the_test))
    run(msgspec.structs.replace(runtime, log=log), worker)

with site(settings_of([Spec("127.78.0.13", PORT)]), listen=True) as made:
    made.fork(0, body)
    while not made.log.read():
        pass
    print(made.log.lines[0])
"""


def test_a_worker_has_no_resolver_no_parser_and_no_metrics_in_it() -> None:
    script = MODULES.replace("PORT", str(free_port()))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    modules = set(done.stdout.split(" ", 1)[1].strip().split(","))
    assert "proxy.worker.process" in modules
    settings = {"proxy.config", "resolverd", "resolverd.config"}
    settings |= {"proxy.config.outline", "proxy.config.outline.kept"}  # held, not read
    settings |= {f"proxy.config.{name}" for name in ("model", "model.settings")}
    parts = ("sockets", "logs", "server", "checks", "tls", "http", "rules", "lists", "matching")
    settings |= {f"proxy.config.model.{name}" for name in parts}
    foreign = ("dns", "prometheus_client", "resolverd", "proxy.config", "proxy.control")
    foreign += ("proxy.supervisor", "proxy.cli", "proxy.arguments")
    found = {m for m in modules if any(m == f or m.startswith(f"{f}.") for f in foreign)}
    assert found <= settings
