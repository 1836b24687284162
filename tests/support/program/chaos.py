"""What the chaos test needs: steady clients that blame every failure, and a look into the workers.

`Ledger` runs many short sessions and a few long ones against the proxy and writes down each failure
with its time. `Worker` reads, from the segment that a worker has mapped, how many sessions it has
open: the only sessions that its death may cost.
"""

from __future__ import annotations

import asyncio
import mmap
import re
import struct
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.declarations import declared
from tests.support.common import links_of

SESSION_SECONDS = 20.0  # longer than a hang and a backoff together
BLAME_SECONDS = 3.0  # a death is felt at once; this is what a loaded machine may add
LAYOUT = declared("shm/layout.pxd")
HEADER = LAYOUT.structs["Header"].offsets
ROWS_AT = HEADER["offsets"] + 8 * LAYOUT.numbers["AREA_ROWS"]
SESSIONS_AT = declared("shm/rows.pxd").structs["WorkerCounters"].offsets["sessions"]
MESSAGE = bytes(range(256)) * 8


@dataclass(frozen=True)
class Child:
    """A child process: its pid and its title without the program's name."""

    pid: int
    title: str

    @property
    def kind(self) -> str:
        return self.title.split()[0]

    def alive(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").exists() and self.state() not in "ZX"

    def state(self) -> str:
        """The kernel's letter: R, S, D, T (stopped), Z; X when it is gone."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"

    def open_sessions(self) -> int:
        """The gauge of its row; of a stopped worker it is all that its death can cost."""
        number = int(self.title.split()[1])
        with _segment_of(self.pid) as memory:
            (first,) = struct.unpack_from("=Q", memory, ROWS_AT)
            (stride,) = struct.unpack_from("=Q", memory, HEADER["row_bytes"])
            at = first + number * stride + SESSIONS_AT
            sessions: int = struct.unpack_from("=Q", memory, at)[0]
            return sessions

    def account(self) -> str:
        """State, sessions and sockets, for the story of a failure."""
        if not self.alive() or self.kind != "worker":
            return f"{self} {self.state()}"
        links = links_of(self.pid).values()
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        table = Path("/proc/net/tcp").read_text().splitlines()[1:]
        rows = [row.split() for row in table]
        sockets = [" ".join(row[1:5]) for row in rows if row[9] in inodes and row[3] != "0A"]
        return f"{self} {self.state()}, {self.open_sessions()} sessions, sockets {sockets}"


def _segment_of(pid: int) -> mmap.mmap:
    for entry, link in links_of(pid).items():
        if "memfd:millrace" in link:
            with entry.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    raise AssertionError(f"process {pid} has no segment")


def children_of(pid: int) -> list[Child]:
    """The children that already have a title of ours."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if re.match(r"millrace: (worker \d|resolverd|control)", words):
                named = words.removeprefix("millrace: ").partition(" (generation ")[0]
                found.append(Child(int(child), named))
    return found


def descriptors_of(pid: int) -> Counter[str]:
    """What a process has open, by kind: names of files, without the numbers of sockets."""
    return Counter(re.sub(r"\[\d+\]|\d+", "", link) for link in links_of(pid).values())


@dataclass
class Deed:
    """Something done to a worker: failures from `began` on, at most `sessions`, are its fault."""

    what: str
    began: float
    sessions: int
    ended: float | None = None  # when the process was gone; None: it still hangs

    def explains(self, at: float) -> bool:
        end = self.ended if self.ended is not None else float("inf")
        return self.began <= at <= end + BLAME_SECONDS


@dataclass(frozen=True)
class Failure:
    """One session that did not do what it should."""

    at: float
    session: str  # short or long
    phase: str  # connect, exchange, end
    error: str


@dataclass
class Ledger:
    """Clients at work, their successes and failures."""

    target: tuple[str, int]
    failures: list[Failure] = field(default_factory=list)
    completed: int = 0
    exchanges: int = 0
    open: int = 0
    stopping: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, short: int, long: int) -> None:
        """That many clients of each kind, each one session after the other."""
        self._tasks = [
            *(asyncio.ensure_future(self._clients("short", 1)) for _ in range(short)),
            *(asyncio.ensure_future(self._clients("long", 40)) for _ in range(long)),
        ]

    async def stop(self) -> None:
        """Sessions under way finish; no new one begins."""
        self.stopping = True
        await asyncio.gather(*self._tasks)

    async def _clients(self, kind: str, messages: int) -> None:
        while not self.stopping:
            await self._session(kind, messages)

    async def _session(self, kind: str, messages: int) -> None:
        phase = "connect"
        writer: asyncio.StreamWriter | None = None
        self.open += 1
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                reader, writer = await asyncio.open_connection(*self.target)
                phase = "exchange"
                for _ in range(messages):
                    writer.write(MESSAGE)
                    if await reader.readexactly(len(MESSAGE)) != MESSAGE:
                        raise ValueError("another answer")
                    self.exchanges += 1
                    if messages > 1:
                        await asyncio.sleep(0.05)
                phase = "end"
                writer.write_eof()
                if await reader.read() != b"":
                    raise ValueError("bytes after the end")
            self.completed += 1
        except (OSError, EOFError, ValueError) as error:
            self.failures.append(Failure(time.monotonic(), kind, phase, repr(error)))
            await asyncio.sleep(0.01)
        finally:
            self.open -= 1
            if writer is not None:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    def unexplained(self, deeds: list[Deed]) -> list[str]:
        """Failures beyond what the deeds may cost, each blamed on the latest that can explain it."""
        left = {id(deed): deed.sessions for deed in deeds}
        found = []
        for failure in self.failures:
            blamed = [deed for deed in deeds if deed.explains(failure.at) and left[id(deed)] > 0]
            if failure.phase == "connect" or not blamed:
                found.append(
                    f"{failure} at none of {[d.what for d in deeds if d.explains(failure.at)]}"
                )
            else:
                left[id(blamed[-1])] -= 1
        return found


async def echo_server() -> asyncio.Server:
    """A server that gives back what it gets, until the client's end."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    return await asyncio.start_server(echo, "127.0.0.1", 0, backlog=512)
