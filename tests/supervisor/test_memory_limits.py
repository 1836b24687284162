"""Limits of address space and of file sizes: a small configuration starts and reloads under them."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, require_program, wait_for
from tests.support.program.program import NamedBackend, Program, greet

pytestmark = pytest.mark.slow  # starts the program
HOST = "127.44.9.1"
SECONDS = 30.0
ADDRESS_SPACE = 512 << 20  # of each process; half of it suffices here
FILE_BYTES = 12 << 20  # `ulimit -f` counts shared memory, too: 600 and 1,024 spare ones: 9 MiB


def configuration(port: int, backend: int, servers: int) -> str:
    others = "".join(f"    server b{number} 127.0.0.1:1\n" for number in range(servers))
    return (
        "global\n    nbthread 2\n    stats socket {socket} level admin\ndefaults\n    mode tcp\n"
        "    timeout client 600s\n    timeout server 600s\n    timeout connect 1s\n"
        f"listen web\n    bind {HOST}:{port}\n    server a 127.0.0.1:{backend} maxconn 2\n"
        f"backend others\n{others}"
    )


def reload(program: Program, text: str, end: str) -> None:
    told = program.output.read_text().count(end)
    program.write(text)
    program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: program.output.read_text().count(end) > told, SECONDS, end)


def queued(program: Program) -> int:
    """Clients that wait for a server of the listener."""
    rows = [line.split(",") for line in program.ask("show stat").splitlines() if line]
    place = rows[0].index("qcur")
    return sum(int(row[place]) for row in rows[1:] if row[:2] == ["web", "BACKEND"])


def test_a_small_configuration_starts_and_reloads_under_small_limits(tmp_path: Path) -> None:
    """And `maxconn` of its server holds over reloads; a file that needs more is refused."""
    port, backend = free_port(), NamedBackend("127.0.0.1", 0)
    limits = (require_program("prlimit"), f"--as={ADDRESS_SPACE}", f"--fsize={FILE_BYTES}")
    with ExitStack() as stack:
        stack.callback(backend.close)
        small = configuration(port, backend.port, 1)
        program = stack.enter_context(Program(tmp_path, small, wrapper=limits))
        first = session(port)
        for servers in (600, 2):
            reload(program, configuration(port, backend.port, servers), "reload done")
        reload(program, configuration(port, backend.port, 30_000), "nothing changed")
        assert "File too large" in program.output.read_text()
        stack.enter_context(session(port))
        waiting = stack.enter_context(socket.create_connection((HOST, port), SECONDS))
        wait_for(lambda: queued(program) == 1, SECONDS, "the third client waits")
        assert backend.accepted == 2
        first.close()
        assert waiting.recv(100) == b"127.0.0.1\n"


def session(port: int) -> socket.socket:
    """A client that its server has greeted."""
    greeted = greet((HOST, port), SECONDS)
    assert greeted is not None, "a client got no answer"
    return greeted[1]


def test_a_limit_of_the_command_line_is_that_of_each_process(tmp_path: Path) -> None:
    """Of private memory; HAProxy's `-m` limits addresses, whose number is not that of pages."""
    port, backend = free_port(), NamedBackend("127.0.0.1", 0)
    with ExitStack() as stack:
        stack.callback(backend.close)
        text = configuration(port, backend.port, 1)
        program = stack.enter_context(Program(tmp_path, text, "-W", "-db", "-m", "200"))
        pids = [pid for kind in program.children().values() for pid in kind]
        for pid in (program.process.pid, *pids):
            limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
            [line] = [each.split() for each in limits if each.startswith("Max data size")]
            assert line[3:5] == ["209715200", "209715200"]
        assert "\nMemmax_MB: 200\n" in program.ask("show info")
        reload(program, text, "reload done")
        greeted = greet((HOST, port))
        assert greeted is not None
        greeted[1].close()


def test_a_limit_that_leaves_no_room_is_told(tmp_path: Path) -> None:
    text = configuration(free_port(), 9, 1)
    program = Program(tmp_path, text, "-db", "-m", "1", wait=False)
    assert program.process.wait(SECONDS) == 1
    assert re.search("cannot start: .*allow more", program.output.read_text())
