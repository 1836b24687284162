"""Servers on Unix sockets: sessions, checks and what the stats socket shows, beside HAProxy."""

from __future__ import annotations

import csv
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command

EDGE = "127.67.5.1"
BULK = 3_000_000  # bytes: enough to be spliced where that is possible
TEXT = """\
global
    nbthread 1
    stats socket {{folder}}/s level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
    default-server check inter 100ms rise 1 fall 1
listen path
    bind {edge}:{ports[0]}
    server s unix@{path}
listen plain
    bind {edge}:{ports[1]}
    server s {path} no-check
listen abstract
    bind {edge}:{ports[2]}
    server s abns@{name}
listen gone
    bind {edge}:{ports[3]}
    server s unix@{path}.gone
"""


def echo_all(listener: socket.socket) -> None:
    """Echo every connection until its end, one after another."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                while chunk := connection.recv(65_536):
                    connection.sendall(chunk)


def local_server(stack: ExitStack, name: str | bytes) -> socket.socket:
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(name)
    listener.listen(64)
    threading.Thread(target=echo_all, args=(listener,), daemon=True).start()
    stack.callback(lambda: suppressed_shutdown(listener))
    return listener


def suppressed_shutdown(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def rows(program: OneProgram) -> dict[str, dict[str, str]]:
    lines = program.ask("show stat").strip().splitlines()
    names = lines[0].removeprefix("# ").split(",")
    read = (dict(zip(names, row, strict=False)) for row in csv.reader(lines[1:]))
    return {row["pxname"]: row for row in read if row["svname"] == "s"}


def echoes(port: int, payload: bytes) -> bool:
    """Whether a client gets back what it sent, to the last byte before its FIN."""
    with socket.create_connection((EDGE, port), PATIENCE_SECONDS) as client:
        sender = threading.Thread(target=send_all, args=(client, payload))
        sender.start()
        received = bytearray()
        with suppress(OSError):
            while chunk := client.recv(65_536):
                received += chunk
        sender.join(PATIENCE_SECONDS)
    return bytes(received) == payload


def send_all(client: socket.socket, payload: bytes) -> None:
    with suppress(OSError):
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)


def observe(command: tuple[str, ...], folder: Path, network: str) -> list[object]:
    with ExitStack() as stack:
        path = folder.with_suffix(".sock")
        name = f"millrace-test-{network}"
        listener = local_server(stack, str(path))
        local_server(stack, b"\0" + name.encode().ljust(107, b"\0"))
        ports = []
        while len(ports) < 4:
            port = free_port()
            if port not in ports:
                ports.append(port)
        text = TEXT.format(edge=EDGE, ports=ports, path=path, name=name)
        program = stack.enter_context(one_program(command, folder, text, {}))
        wait_for(lambda: rows(program)["gone"]["status"] == "DOWN", 10, "a server is down")
        wait_for(lambda: rows(program)["path"]["check_status"] == "L4OK", 10, "a check")
        found: list[object] = [
            {name: (row["status"], row["addr"]) for name, row in rows(program).items()},
            [echoes(port, b"hello") for port in ports],
            echoes(ports[0], bytes(range(256)) * (BULK // 256)),
            [
                line.split()[4]
                for line in program.ask("show servers state").splitlines()[2:]
                if line
            ],
            program.ask("set server path/s addr 127.0.0.1 port 80"),
        ]
        suppressed_shutdown(listener)
        listener.close()
        wait_for(lambda: rows(program)["path"]["status"] == "DOWN", 10, "the check fails")
        found.append(echoes(ports[1], b"x"))
        path.unlink()
        local_server(stack, str(path))
        wait_for(lambda: rows(program)["path"]["status"] == "UP", 10, "the check passes")
        found.append(echoes(ports[0], b"again"))
        return found


def test_servers_on_unix_sockets(tmp_path: Path) -> None:
    theirs = observe(haproxy_command(), tmp_path / "haproxy", "theirs")
    ours = observe(millrace_command(), tmp_path / "millrace", "ours")
    assert ours == theirs
    assert ours[1] == [True, True, True, False]
    assert ours[2:4] == [True, ["-"] * 4]
    assert ours[5:] == [False, True]
