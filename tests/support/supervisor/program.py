"""The program with stand-in children: `python tests/support/supervisor/program.py <arguments>`.

The stand-in worker answers each client with its number, its pid and the generation, then echoes
until the client closes; with a first server named `crash` it ends at once. A client's line `HANG`
makes it stop turning, `CRASH` ends it, `STEP` in the midst of a step in the first server's hint;
`HINT` is answered with that. Control and resolverd only beat; with a first server named
`gatecrash` they end before the gate of a reload, with `late` they come to it late. `Program` starts it (or the real one) and ends it by pid.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from loadtest.declarations import declared
from proxy.cli import run as run_cli
from proxy.master.process import run as run_master
from proxy.runtime import ListeningSocket, Runtime, now_ms
from proxy.supervisor.children import Entries
from shm.gate import wait_at_gate
from shm.processes import ProcessBoard, ProcessSelf
from shm.slots import SlotTableReader
from shm.states import ProcessCommand, ProcessState
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.forking.process import Process, start
from tests.support.rows import RowWords

ROOT = Path(__file__).parents[3]
LAYOUT = declared("shm/layout.pxd")
PROCESS = LAYOUT.structs["Process"]
TICK_SECONDS = 0.05
LATE_SECONDS = 1.0

TURNS_LATE = 4  # of a late worker


class StandInWorker:
    """A worker in Python: enough of the protocol to be supervised."""

    def __init__(self, runtime: Runtime, worker: int) -> None:
        self.runtime = runtime
        self.worker = worker
        self.me = ProcessSelf(runtime.segment, worker)
        self.board = ProcessBoard(runtime.segment)
        memory = mmap.mmap(runtime.segment.fd, runtime.segment.size)
        first = runtime.segment.offsets()[LAYOUT.numbers["AREA_PROCESSES"]]
        self.words = memoryview(memory).cast("Q")
        place = first + worker * PROCESS.size
        self.relay_beat = (place + PROCESS.offsets["relay_beat_ms"]) // 8
        self.left = (place + PROCESS.offsets["left"]) // 8
        self.selector = selectors.DefaultSelector()
        self.sessions: set[socket.socket] = set()
        self.owned: set[int] = set()
        self.stopping = False
        self.turns_late = TURNS_LATE if runtime.servers[0].name == "late" else 0

    def run(self) -> None:
        self.selector.register(self.runtime.bells.workers[self.worker], selectors.EVENT_READ)
        self.me.state(ProcessState.READY)
        while True:
            self.me.beat(now_ms())
            self.words[self.relay_beat] = now_ms()
            self.follow_command()
            if not self.stopping:
                self.follow_owners()
            elif not self.sessions:
                os._exit(0)
            for key, _ in self.selector.select(TICK_SECONDS):
                if isinstance(key.data, ListeningSocket):
                    self.accept(key.data)
                elif key.data is not None:
                    self.serve(key.data)
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self.runtime.bells.workers[self.worker])

    def follow_command(self) -> None:
        command = self.me.command
        if command == ProcessCommand.STOP:
            os._exit(0)
        if command == ProcessCommand.SOFT_STOP and not self.stopping and self.hears():
            self.stopping = True
            self.me.state(ProcessState.STOPPING)
            for listener in self.runtime.listeners:
                if listener.index in self.owned:
                    self.accept(listener)
                    self.selector.unregister(listener.socket)
            self.words[self.left] = self.runtime.servers[0].name != "stays"

    def hears(self) -> bool:
        """Whether it obeys the word at once; a late one has some turns before."""
        self.turns_late -= 1
        return self.turns_late < 0

    def follow_owners(self) -> None:
        for listener in self.runtime.listeners:
            mine = listener.shared or self.board.owner(listener.index) == self.worker
            if mine and listener.index not in self.owned:
                self.owned.add(listener.index)
                self.selector.register(listener.socket, selectors.EVENT_READ, listener)
            elif not mine and listener.index in self.owned:
                self.owned.remove(listener.index)
                self.selector.unregister(listener.socket)

    def accept(self, listener: ListeningSocket) -> None:
        while True:
            try:
                client, _ = listener.socket.accept()
            except OSError as error:  # shut down meanwhile: this process stood still
                if error.errno not in (errno.EAGAIN, errno.EINVAL):
                    raise
                return
            generation = self.runtime.segment.reload_generation
            client.sendall(f"{self.worker} {os.getpid()} {generation}\n".encode())
            client.setblocking(False)
            self.sessions.add(client)
            self.selector.register(client, selectors.EVENT_READ, client)

    def serve(self, client: socket.socket) -> None:
        content = b""
        with contextlib.suppress(OSError):
            content = client.recv(4096)
            client.sendall(content)
        if content == b"CRASH\n":
            os._exit(3)
        if content == b"STEP\n":
            self.die_in_a_step()
        if content == b"HINT\n":
            client.sendall(f"{SlotTableReader(self.runtime.segment).hint(0)}\n".encode())
        if content == b"HANG\n":
            threading.Event().wait()
        if not content:
            self.selector.unregister(client)
            self.sessions.remove(client)
            client.close()

    def die_in_a_step(self) -> None:
        """As hint_step of shm/segment.pxd, killed when the hint has moved."""
        segment = self.runtime.segment
        RowWords(segment, self.worker).word("Server", 0, "hinted").value |= 1
        self.words[segment.offsets()[LAYOUT.numbers["AREA_HINTS"]] // 8] += 1
        os._exit(3)


def run_worker(runtime: Runtime, worker: int) -> None:
    if runtime.servers[0].name == "crash":
        os._exit(7)
    StandInWorker(runtime, worker).run()


def run_service(runtime: Runtime, position: int) -> None:
    is_control = position == runtime.segment.shape.control_process
    kept = {item.socket.fileno() != -1 for item in runtime.listeners}
    assert kept <= {is_control}, "only control closes and opens frontends"
    me = ProcessSelf(runtime.segment, position)
    bells = runtime.bells
    server = runtime.servers[0].name
    if server == "gatecrash" and me.command == ProcessCommand.WAIT:
        os._exit(9)
    if server == "late" and me.command == ProcessCommand.WAIT:
        threading.Event().wait(LATE_SECONDS)
    wait_at_gate(me, bells.control if is_control else bells.resolverd)
    me.state(ProcessState.READY)
    while True:
        me.beat(now_ms())
        if me.command == ProcessCommand.RETIRE:
            os._exit(0)
        threading.Event().wait(TICK_SECONDS)


ENTRIES = Entries(
    worker=run_worker,
    control=lambda runtime, _elders: run_service(runtime, runtime.segment.shape.control_process),
    resolverd=lambda runtime: run_service(runtime, runtime.segment.shape.resolverd_process),
    master=run_master,  # the real one
)


class Program:
    """One started program and its output."""

    def __init__(self, child: Process, output: Path) -> None:
        self.child = child
        self.output = output

    @property
    def pid(self) -> int:
        return self.child.pid

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def await_text(self, wanted: str) -> None:
        """A thread of the program writes what it says, so it may come after what it tells of."""
        wait_for(lambda: wanted in self.text(), 15, f"{wanted!r} is told")

    def titles(self) -> dict[str, int]:
        """The children by what `ps` calls them (without `millrace: `)."""
        return {title.removeprefix("millrace: "): pid for pid, title in descendants(self.pid)}

    def pid_of(self, name: str) -> int:
        """The pid of a child that is set up, or is about to be."""
        return wait_for(lambda: self.titles().get(name, 0), 15, f"{name} runs")

    def titles_all(self) -> dict[int, str]:
        """Every descendant, old generations too: pid to title."""
        return dict(descendants(self.pid))

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s: {self.text()}") from None


def descendants(pid: int) -> list[tuple[int, str]]:
    """Pid and title of every process below this one, without its generation."""
    found = []
    tasks = Path(f"/proc/{pid}/task")
    for task in list(tasks.iterdir()) if tasks.exists() else []:
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    title = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].decode()
                    found.append((child, title.partition(" (generation ")[0]))
                found += descendants(child)
    return found


@contextlib.contextmanager
def started(
    folder: Path,
    *arguments: str,
    real: bool = False,
    executed: bool = False,
    environ: dict[str, str] | None = None,
    script: str = __file__,
) -> Iterator[Program]:
    """Run the program while the block lasts; afterwards its whole tree is gone.

    `script` runs it with stand-in children. With `executed` it is a fresh interpreter.
    """
    words = ["-m", "proxy"] if real else [script]
    output = folder / "output"
    with output.open("wb") as stream:
        child = (subprocess.Popen if executed else start)(
            [sys.executable, *words, *arguments],
            stdout=stream,
            stderr=stream,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        )
    program = Program(child, output)
    below: list[tuple[int, str]] = []
    try:
        yield program
        below = descendants(child.pid)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        print(f"--- output of the program\n{program.text()}")  # pytest shows it where a test fails
        for pid, title in below:
            wait_for(lambda pid=pid: not is_alive(pid), 15, f"{title} ({pid}) ends")


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int) -> None:
    """Kill a process, and wait until it is dead: what it accepts before that dies with it."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), 15, f"{pid} is dead")


def hello(address: tuple[str, int], seconds: float = PATIENCE_SECONDS) -> tuple[int, int, int]:
    """Connect, and learn worker, pid and generation."""
    with socket.create_connection(address, seconds) as client:
        return greeting(client)


def greeting(client: socket.socket) -> tuple[int, int, int]:
    line = b""
    while not line.endswith(b"\n"):
        more = client.recv(100)
        if not more:
            raise ConnectionResetError(f"closed after {line!r}")
        line += more
    worker, pid, generation = map(int, line.split())
    return worker, pid, generation


def await_serving(
    address: tuple[str, int], seconds: float = PATIENCE_SECONDS
) -> tuple[int, int, int]:
    """The first greeting of a program that is starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return hello(address)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(run_cli(sys.argv[1:], lambda: ENTRIES))
