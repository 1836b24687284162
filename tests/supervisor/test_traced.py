"""Children that a tracer holds while they end: their parent is told late, and nothing waits.

A tracer that does not look at its children's ends (a debugger at a prompt, a stopped strace) keeps
them: the pidfd says that the process has ended, and waitid() gives nothing until the tracer ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.supervisor.limits import SERVICES_END_LIMIT_MS
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.supervisor.program import (
    Program,
    await_serving,
    greeting,
    hello,
    is_alive,
    started,
)

pytestmark = pytest.mark.slow
HOST = "127.44.9.1"
Address = tuple[str, int]
CONFIGURATION = """
global
    nbthread 2
defaults
    mode tcp
    timeout client 600s
    timeout server 600s
    timeout connect 1s
listen web
    bind {host}:{port}
    server a 127.0.0.1:1
"""
NAMED = """
    server b b.test:1 resolvers r init-addr none
resolvers r
    nameserver n 127.0.0.1:1
"""
PTRACE_SEIZE = 0x4206
TRACER = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace({PTRACE_SEIZE}, int(sys.argv[1]), None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("seized", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address() -> Address:
    return HOST, free_port()


@pytest.fixture
def program(tmp_path: Path, address: Address) -> Iterator[Program]:
    path = tmp_path / "edge.cfg"
    path.write_text(CONFIGURATION.format(host=HOST, port=address[1]))
    with started(tmp_path, "-f", str(path)) as program:
        await_serving(address)
        names = {"control", "worker 0", "worker 1"}
        wait_for(
            lambda: set(program.titles()) == names, PATIENCE_SECONDS, "all children are set up"
        )
        yield program


@contextlib.contextmanager
def traced(pid: int) -> Iterator[None]:
    """A tracer that holds the process and asks for nothing, while the block lasts."""
    tracer = subprocess.Popen(
        [sys.executable, "-c", TRACER, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert tracer.stdout is not None
    try:
        line = tracer.stdout.readline()
        if line != b"seized\n":
            _, error = tracer.communicate(timeout=PATIENCE_SECONDS)
            pytest.skip(f"this process may not trace: {error.decode().strip()}")
        yield
    finally:
        tracer.communicate(timeout=PATIENCE_SECONDS)


def session_of(address: Address, worker: int) -> socket.socket:
    """A connection that this worker serves."""
    while True:
        client = socket.create_connection(address, PATIENCE_SECONDS)
        if greeting(client)[0] == worker:
            return client
        client.close()


@pytest.mark.parametrize("title", ["worker 0", "control"])
def test_a_child_that_ends_under_a_tracer_is_replaced_and_reaped_when_it_is_let_go(
    program: Program, address: Address, title: str
) -> None:
    former = program.pid_of(title)
    with session_of(address, 1) as client:
        with traced(former):
            os.kill(former, signal.SIGKILL)
            wait_for(lambda: not is_alive(former), PATIENCE_SECONDS, "it has ended")
            wait_for(
                lambda: program.titles().get(title, former) != former,
                PATIENCE_SECONDS,
                "another one takes its place",
            )
            assert Path(f"/proc/{former}").exists(), "nobody but the tracer has its end"
            program.await_text("a tracer keeps its status back")
            client.sendall(b"go on\n")
            assert client.recv(100) == b"go on\n"
        wait_for(lambda: not Path(f"/proc/{former}").exists(), PATIENCE_SECONDS, "it is reaped")
    assert hello(address)
    assert program.child.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_program_ends_though_a_tracer_holds_a_child(
    program: Program, address: Address, number: signal.Signals
) -> None:
    with traced(program.pid_of("worker 0")), traced(program.pid_of("control")):
        program.signal(number)
        program.child.wait(PATIENCE_SECONDS)
    assert program.child.returncode == (0 if number == signal.SIGUSR1 else -number)


def test_a_reload_goes_on_though_a_tracer_holds_the_old_children(
    program: Program, address: Address
) -> None:
    before = hello(address)[2]
    old = [program.pid_of(title) for title in ("worker 0", "worker 1", "control")]
    with contextlib.ExitStack() as tracers:
        for pid in old:
            tracers.enter_context(traced(pid))
        for number in (1, 2):
            program.signal(signal.SIGUSR2)
            wait_for(
                lambda number=number: hello(address)[2] == before + number,
                PATIENCE_SECONDS,
                "a new generation serves",
            )
        wait_for(lambda: not any(map(is_alive, old)), PATIENCE_SECONDS, "the old ones have ended")
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in old),
        PATIENCE_SECONDS,
        "all are reaped",
    )


def test_one_that_a_late_supervisor_kills_has_time_to_end(tmp_path: Path, address: Address) -> None:
    path = tmp_path / "edge.cfg"
    path.write_text(CONFIGURATION.format(host=HOST, port=address[1]) + NAMED)
    with started(tmp_path, "-f", str(path)) as program:
        await_serving(address)
        control, resolverd = program.pid_of("control"), program.pid_of("resolverd")
        stand_still(control)
        program.signal(signal.SIGUSR2)
        wait_for(lambda: not is_alive(resolverd), PATIENCE_SECONDS, "both give way", step=0.001)
        stand_still(program.pid)
        time.sleep(SERVICES_END_LIMIT_MS / 1_000)  # tidy: the supervisor is late
        program.signal(signal.SIGCONT)
        program.await_text("reload done: generation 2 serves")
        assert f"ending old control ({control})" in program.text()
        assert "reload failed" not in program.text()
