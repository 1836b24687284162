"""From HAProxy to Millrace and back by `-x -sf`: no client is refused, reset or lost."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.differential.pair import ROOT
from tests.support.forking.process import start
from tests.support.program.program import NamedBackend

CLIENTS = 4
PAUSE_SECONDS = 0.002  # between two clients of a thread: a load, and no attack
CONFIGURATION = """
global
    nbthread {threads}
    stats socket {socket} level admin{exposes}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    bind {address}
    server a 127.0.0.1:{server}
"""
EXPOSES = " expose-fd listeners"
COMMANDS = {
    "haproxy": lambda: (require_program("haproxy"),),
    "millrace": lambda: (sys.executable, "-m", "proxy"),
}


class Crowd:
    """Clients that come one after the other, in several threads, and what became of them."""

    def __init__(
        self, target: tuple[str, int], answers: Collection[bytes] = (b"127.0.0.1\n",)
    ) -> None:
        """`answers` are those that a client may get."""
        self.target = target
        self.answers = answers
        self.served = 0
        self.longest_ms = 0.0
        self.failures: list[str] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.come) for _ in range(CLIENTS)]

    def come(self) -> None:
        while not self.over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                with socket.create_connection(self.target, PATIENCE_SECONDS) as client:
                    took_ms = (time.monotonic() - began) * 1_000
                    self.longest_ms = max(self.longest_ms, took_ms)
                    received = client.recv(100)
                    assert received in self.answers, f"closed after {received!r}"
                self.served += 1
            except (OSError, AssertionError) as error:
                self.failures.append(f"{error!r} after {time.monotonic() - began:.3f} s")

    def await_more(self, count: int) -> None:
        goal = self.served + count
        wait_for(lambda: self.served >= goal or self.failures, PATIENCE_SECONDS, "more clients")

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


class Edge:
    """A HAProxy or a Millrace that serves, and its stats socket."""

    def __init__(self, folder: Path, kind: str, text: str, *flags: str) -> None:
        folder.mkdir()
        self.kind = kind
        self.socket = folder / "s"
        self.output = folder / "output"
        (folder / "edge.cfg").write_text(text.replace("{socket}", str(self.socket)))
        command = (*COMMANDS[kind](), "-db", "-f", str(folder / "edge.cfg"), *flags)
        with self.output.open("wb") as output:
            self.process = start(command, cwd=ROOT, stdout=output, stderr=output)
        wait_for(self.serves, PATIENCE_SECONDS, f"the start of {kind}")
        assert self.process.poll() is None, self.output.read_text()

    def serves(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.ask("show info"))
        return self.process.poll() is not None

    def ask(self, command: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(self.socket))
            client.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: client.recv(65_536), b""))

    @property
    def takeover(self) -> tuple[str, ...]:
        """The flags of its successor."""
        return "-x", str(self.socket), "-sf", str(self.process.pid)

    def end(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server() -> Iterator[NamedBackend]:
    backend = NamedBackend("127.0.0.1", 0)
    yield backend
    backend.close()


def text_of(address: str, server: NamedBackend, threads: int = 2, exposes: str = EXPOSES) -> str:
    words = {"address": address, "server": server.port, "threads": threads, "exposes": exposes}
    return CONFIGURATION.format(socket="{socket}", **words)


def started(stack: contextlib.ExitStack, folder: Path, kind: str, text: str, *flags: str) -> Edge:
    edge = Edge(folder, kind, text, *flags)
    stack.callback(edge.end)
    return edge


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "host", "kinds"),
    [
        ("127.0.0.1:{}", "127.0.0.1", ("haproxy", "millrace") * 5 + ("haproxy",)),
        (":::{} v4v6", "::1", ("haproxy", "millrace", "haproxy")),
        ("[::1]:{}", "::1", ("millrace", "haproxy", "millrace")),
        ("127.0.0.1:{}", "127.0.0.1", ("millrace", "millrace", "millrace")),
    ],
)
def test_no_client_notices_a_takeover(
    tmp_path: Path, server: NamedBackend, address: str, host: str, kinds: tuple[str, ...]
) -> None:
    port = free_port()
    text = text_of(address.format(port), server)
    with contextlib.ExitStack() as stack:
        edge = started(stack, tmp_path / "0", kinds[0], text)
        with Crowd((host, port)) as crowd:
            crowd.await_more(50)
            for number, kind in enumerate(kinds[1:], 1):
                successor = started(stack, tmp_path / str(number), kind, text, *edge.takeover)
                edge.process.wait(PATIENCE_SECONDS)
                crowd.await_more(50)
                assert not crowd.failures, f"{edge.kind} -> {kind}, the {number}th"
                edge = successor
        print(f"{crowd.served} clients, the longest connect {crowd.longest_ms:.0f} ms")
        assert crowd.failures == []


@pytest.mark.slow
def test_no_process_of_millrace_keeps_a_socket_that_it_gave_away(
    tmp_path: Path, server: NamedBackend
) -> None:
    """A session goes on for long, of an older generation, too; HAProxy ends, and clients are refused."""
    port = free_port()
    text = text_of(f"127.0.0.1:{port}", server)
    target = ("127.0.0.1", port)
    with contextlib.ExitStack() as stack:
        millrace = started(stack, tmp_path / "0", "millrace", text)
        clients = [stack.enter_context(socket.create_connection(target, PATIENCE_SECONDS))]
        assert clients[0].recv(100) == b"127.0.0.1\n"
        millrace.process.send_signal(signal.SIGUSR2)
        told = millrace.output.read_text
        wait_for(lambda: "generation 2 serves" in told(), PATIENCE_SECONDS, "a reload")
        clients.append(stack.enter_context(socket.create_connection(target, PATIENCE_SECONDS)))
        assert clients[1].recv(100) == b"127.0.0.1\n"
        haproxy = started(stack, tmp_path / "1", "haproxy", text, *millrace.takeover)
        wait_for(lambda: listeners_of(port) == 1, PATIENCE_SECONDS, "one socket is left")
        haproxy.end()
        wait_for(lambda: listeners_of(port) == 0, PATIENCE_SECONDS, "no socket is left")
        for client in clients:
            client.sendall(b"still here")
            assert client.recv(100) == b"still here"
        assert b"program finishes" in millrace.ask("disable frontend web")


@pytest.mark.slow
def test_haproxy_gets_each_address_in_as_many_messages_as_it_takes(
    tmp_path: Path, server: NamedBackend
) -> None:
    """An abstract name can be bound by one program alone: it starts only if it got that socket."""
    first = free_port()
    ports = range(first, first + 260)
    lines = (
        f"127.44.7.1:{first}-{ports[-1]}",
        f"127.44.7.2:{first} interface lo",
        f"[::1]:{first} v6only",
        f":::{first + 1} v6only",
        f"abns@m{first}",
    )
    text = text_of("\n    bind ".join(lines), server)
    with contextlib.ExitStack() as stack:
        millrace = started(stack, tmp_path / "0", "millrace", text)
        before = inodes_of(ports)
        assert len(before) == 2 * (260 + 3)
        started(stack, tmp_path / "1", "haproxy", text, *millrace.takeover)
        millrace.process.wait(PATIENCE_SECONDS)
        after = inodes_of(ports)
        assert len(after) == 260 + 3
        assert after <= before


def inodes_of(ports: range) -> set[str]:
    """The TCP sockets that listen on these ports."""
    wanted = {f":{port:04X}" for port in ports}
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[9] for row in rows if row[3] == "0A" and row[1][-5:] in wanted}


def listeners_of(port: int) -> int:
    return len(inodes_of(range(port, port + 1)))


@pytest.mark.slow
def test_without_expose_fd_haproxy_gets_nothing_and_says_so(
    tmp_path: Path, server: NamedBackend
) -> None:
    text = text_of(f"127.0.0.1:{free_port()}", server, exposes="")
    with contextlib.ExitStack() as stack:
        millrace = started(stack, tmp_path / "0", "millrace", text)
        (tmp_path / "x.cfg").write_text(text.replace("{socket}", str(tmp_path / "other")))
        told = subprocess.run(
            [*COMMANDS["haproxy"](), "-db", "-f", str(tmp_path / "x.cfg"), *millrace.takeover],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert told.returncode == 1
        assert "Failed to get the sockets from the old process" in told.stderr
        assert millrace.ask("_getsocks") == b""
        told_of = millrace.output.read_text
        wait_for(lambda: "without 'expose-fd" in told_of(), PATIENCE_SECONDS, "a line of the log")
        assert b"Pid:" in millrace.ask("show info")


@pytest.mark.slow
def test_clients_that_wait_at_any_socket_of_millrace_are_served(
    tmp_path: Path, server: NamedBackend
) -> None:
    """At its `maxconn` it accepts none of them: HAProxy has one of its sockets, it the others."""
    port = free_port()
    text = text_of(f"127.0.0.1:{port}", server, threads=4)
    full = text.replace("    bind", "    backlog 100\n    maxconn 1\n    bind")
    with contextlib.ExitStack() as stack:
        millrace = started(stack, tmp_path / "0", "millrace", full)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
            for _ in range(41)
        ]
        served, _, _ = select.select(clients, [], [], PATIENCE_SECONDS)
        assert len(served) == 1
        haproxy = started(stack, tmp_path / "1", "haproxy", text, *millrace.takeover)
        for client in clients:
            assert client.recv(100) == b"127.0.0.1\n"
        haproxy.end()
        wait_for(lambda: listeners_of(port) == 0, PATIENCE_SECONDS, "no socket is left")
