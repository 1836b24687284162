"""CPU time of a check over TLS, against Debian's HAProxy in the same run.

As test_check_cost.py measures it: each process's own time, user and system. The server is a process
of its own; it makes no tickets, because HAProxy may resume sessions and Millrace makes a new
handshake each time.
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.health.test_check_cost import connects, cpu_seconds
from tests.support.certificates import Authority
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.generated import LONG

SERVERS = 50
INTER_MS = 250
MEASURED_CHECKS = 400  # two seconds'
ROUNDS = 3
RATIO_MAX = 3.0
CONFIGURATION = """\
global
    nbthread 1
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
listen be
    bind 127.0.0.1:{port}
    {rules}
{servers}
"""
REQUEST_BYTES = len(b"OPTIONS / HTTP/1.0\r\n\r\n")
OK = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"


def serve(listening: socket.socket, certificate: str, tickets: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.num_tickets = tickets
    while True:
        connection, _ = listening.accept()
        connection.settimeout(2)
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as stream:
            if len(stream.recv(REQUEST_BYTES)) == REQUEST_BYTES:
                stream.sendall(OK)
                stream.recv(1)


@contextmanager
def tls_server(certificate: str, tickets: int = 0) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", free_port()), backlog=1024)
    process = multiprocessing.get_context("fork").Process(
        target=serve, args=(listening, certificate, tickets)
    )
    process.start()
    try:
        yield listening.getsockname()[1]
    finally:
        process.terminate()
        process.join()
        listening.close()


def worker_of(pid: int) -> int | None:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        title = Path(f"/proc/{child}/cmdline").read_bytes()
        if title.startswith(b"millrace: worker"):
            return int(child)
    return None


def microseconds_per_check(command: tuple[str, ...], text: str, file: Path) -> float:
    file.write_text(text)
    process = subprocess.Popen((*command, "-db", "-f", str(file)), stderr=subprocess.DEVNULL)
    try:
        pid: int = process.pid
        if command[-1] == "proxy":
            pid = wait_for(lambda: worker_of(process.pid), 10, "the worker")
        began = connects()
        wait_for(lambda: connects() >= began + MEASURED_CHECKS // 2, 5, "the first checks")
        checks, spent = connects(), cpu_seconds(pid)
        wait_for(lambda: connects() >= checks + MEASURED_CHECKS, 5, "checks", step=0.1)
        return (cpu_seconds(pid) - spent) / (connects() - checks) * 1e6
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a ratio of times, in the long run: make long")
@pytest.mark.parametrize("rules", ["", "option httpchk"])
def test_a_check_over_tls_costs_at_most_three_times_what_haproxy_spends(
    rules: str, tmp_path: Path
) -> None:
    made = Authority(tmp_path / "pem")
    words = f"check check-ssl inter {INTER_MS}ms verify required ca-file {made.path('ca')}"
    programs = {
        "haproxy": (require_program("haproxy"),),
        "millrace": (sys.executable, "-m", "proxy"),
    }
    spent: dict[str, list[float]] = {name: [] for name in programs}
    with tls_server(made.issue("server", "server")) as port:
        servers = "\n".join(f"    server s{n} 127.0.0.1:{port} {words}" for n in range(SERVERS))
        text = CONFIGURATION.format(port=free_port(), rules=rules, servers=servers)
        for _ in range(ROUNDS):
            for name, command in programs.items():
                spent[name].append(microseconds_per_check(command, text, tmp_path / "cfg"))
    theirs, ours = (sorted(spent[name])[ROUNDS // 2] for name in programs)
    assert ours <= RATIO_MAX * theirs, spent
