"""Random two-way transfers through a proxy, compared byte by byte; everything follows from a seed.

Owns the clients and the servers behind the proxy, in one event loop; knows of the proxy only its
address, so that any TCP proxy can be held to the same rules. A transfer is a `Plan`: what each side
sends, in which pieces, with which pauses, how fast it reads, and whether it ends with a half-close
or a reset. `judge` says which outcomes a plan allows.

    failures = run_transfers(("127.0.0.1", 8080), listener, seed=7, count=1_000)
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.common import PATIENCE_SECONDS

GREETING = b"MILLRACE"  # the server speaks first, before it knows which transfer this is
IDENTITY = struct.Struct("!I")
POOL_BYTES = 4 << 20
SIZE_MAX = 1 << 20
TRANSFER_SECONDS = PATIENCE_SECONDS
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
ENDED = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED)

_pool = random.Random(b"pool").randbytes(POOL_BYTES)


@dataclass(frozen=True)
class SidePlan:
    """What one side does."""

    pieces: tuple[tuple[float, int], ...]  # pause in seconds, then that many bytes
    resets: bool  # ends with RST after its last piece; else with a half-close
    read_pause: float  # seconds between two reads; 0: as fast as it can
    read_bytes: int
    receive_buffer: int | None

    @property
    def size(self) -> int:
        return sum(size for _, size in self.pieces)


@dataclass(frozen=True)
class Plan:
    """One transfer."""

    identity: int
    client: SidePlan
    server: SidePlan

    def content(self, by_client: bool) -> memoryview:
        """All that one side sends, header included."""
        start = (self.identity * 2 + by_client) * 7_919 % (POOL_BYTES - SIZE_MAX)
        size = (self.client if by_client else self.server).size
        head = IDENTITY.pack(self.identity) if by_client else GREETING
        return memoryview(head + _pool[start : start + size])


@dataclass
class SideResult:
    """What one side saw: bytes received, and how the other's stream ended."""

    received: int = 0
    end: str = "not reached"  # eof, reset, own reset, late
    wrong_at: int | None = None


@dataclass
class Transfer:
    """A plan and its two results."""

    plan: Plan
    client: SideResult = field(default_factory=SideResult)
    server: SideResult = field(default_factory=SideResult)

    def judge(self) -> str | None:
        """None, or which rule was broken."""
        plan = self.plan
        for name, result in (("client", self.client), ("server", self.server)):
            if result.wrong_at is not None:
                return f"the {name} received a wrong byte at {result.wrong_at}"
            if result.end == "late":
                return f"the {name} waited in vain after {result.received} bytes"
        if self.client.end == "not reached":
            return "the client has no end"
        if self.server.end == "not reached" and self.server.received > 0:
            return "the server has no end"
        if plan.client.resets or plan.server.resets:
            return None  # each saw a prefix of the truth, and an end
        for name, result, by_client in (
            ("client", self.client, False),
            ("server", self.server, True),
        ):
            wanted = len(plan.content(by_client))
            if (result.received, result.end) != (wanted, "eof"):
                return f"the {name} has {result.received} of {wanted} bytes, then: {result.end}"
        return None


def plan_side(chance: random.Random, may_reset: bool) -> SidePlan:
    """A random side: mostly small messages, some bulk."""
    size_max = chance.choices((300, 20_000, 200_000, SIZE_MAX // 4), (40, 30, 20, 10))[0]
    pieces = tuple(
        (chance.choice((0.0, 0.0, 0.002, 0.03)), chance.randrange(1, size_max))
        for _ in range(chance.randrange(0, 5))
    )
    slow = chance.random() < 0.1
    return SidePlan(
        pieces=pieces,
        resets=may_reset and chance.random() < 0.12,
        read_pause=0.002 if slow else 0.0,
        read_bytes=16_384 if slow else chance.choice((1_000, 65_536, 262_144)),
        receive_buffer=chance.choice((None, None, None, 32_768)),
    )


def plan_transfers(seed: int, count: int) -> list[Plan]:
    """The transfers of a seed; one in five is without any reset, whatever the dice say."""
    chance = random.Random(seed)
    return [
        Plan(identity, plan_side(chance, identity % 5 > 0), plan_side(chance, identity % 5 > 0))
        for identity in range(count)
    ]


class Side:
    """One end of one transfer at work."""

    def __init__(self, connection: socket.socket, plan: SidePlan, result: SideResult) -> None:
        self.connection = connection
        self.plan = plan
        self.result = result
        self.loop = asyncio.get_running_loop()

    async def run(self, sends: memoryview, expects: memoryview, sent: int = 0) -> None:
        """Send and receive at once until both directions have ended; closes the connection."""
        receiving = asyncio.ensure_future(self.receive(expects))
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await self.send(sends, sent)
                if self.plan.resets:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    self.result.end = "own reset"
                else:
                    await receiving
        except TimeoutError:
            self.result.end = "late"
        finally:
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                await receiving
            self.connection.close()

    async def send(self, content: memoryview, sent: int) -> None:
        """All pieces, then the half-close; stops when the other side is gone."""
        head = len(content) - self.plan.size
        try:
            if sent < head:
                await self.loop.sock_sendall(self.connection, content[sent:head])
            at = head
            for pause, size in self.plan.pieces:
                if pause:
                    await asyncio.sleep(pause)
                await self.loop.sock_sendall(self.connection, content[at : at + size])
                at += size
            if not self.plan.resets:
                self.connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in ENDED:
                raise

    async def receive(self, expects: memoryview) -> None:
        """Compare until the end of the other's stream."""
        result = self.result
        try:
            while chunk := await self.loop.sock_recv(self.connection, self.plan.read_bytes):
                end = result.received + len(chunk)
                if expects[result.received : end] != chunk and result.wrong_at is None:
                    result.wrong_at = result.received
                result.received = end
                if self.plan.read_pause:
                    await asyncio.sleep(self.plan.read_pause)
            result.end = "eof"
        except OSError as error:
            if error.errno not in ENDED:
                raise
            result.end = "reset"


class Transfers:
    """All transfers of a run: a bounded number at once, against servers on `listener`."""

    def __init__(self, plans: list[Plan], listener: socket.socket) -> None:
        self.transfers = [Transfer(plan) for plan in plans]
        self.listener = listener
        self.listener.setblocking(False)
        self.serving: set[asyncio.Task[None]] = set()

    async def run(self, target: tuple[str, int], concurrency: int) -> None:
        """Run them all through the proxy at `target`."""
        accepting = asyncio.ensure_future(self.accept())
        places = asyncio.Semaphore(concurrency)

        async def one(transfer: Transfer) -> None:
            async with places:
                await self.be_client(transfer, target)

        await asyncio.gather(*(one(transfer) for transfer in self.transfers))
        if self.serving:
            await asyncio.wait(self.serving, timeout=TRANSFER_SECONDS)
        accepting.cancel()
        with suppress(asyncio.CancelledError):
            await accepting

    async def be_client(self, transfer: Transfer, target: tuple[str, int]) -> None:
        plan = transfer.plan
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        if plan.client.receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan.client.receive_buffer)
        await asyncio.get_running_loop().sock_connect(connection, target)
        side = Side(connection, plan.client, transfer.client)
        await side.run(plan.content(by_client=True), plan.content(by_client=False))

    async def accept(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
            task = asyncio.ensure_future(self.be_server(connection))
            self.serving.add(task)
            task.add_done_callback(self.serving.discard)

    async def be_server(self, connection: socket.socket) -> None:
        """Greet, learn from the client which transfer this is, and play the server's part."""
        loop = asyncio.get_running_loop()
        head = b""
        try:
            await loop.sock_sendall(connection, GREETING)
            while len(head) < IDENTITY.size:
                chunk = await loop.sock_recv(connection, IDENTITY.size - len(head))
                if not chunk:
                    break
                head += chunk
        except OSError as error:
            if error.errno not in ENDED:
                raise
        if len(head) < IDENTITY.size:
            connection.close()  # a client that reset at once: nothing was promised
            return
        transfer = self.transfers[IDENTITY.unpack(head)[0]]
        transfer.server.received = len(head)
        plan = transfer.plan
        if plan.server.receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan.server.receive_buffer)
        side = Side(connection, plan.server, transfer.server)
        greeted = len(GREETING)
        await side.run(plan.content(by_client=False), plan.content(by_client=True), greeted)


def run_transfers(
    target: tuple[str, int],
    listener: socket.socket,
    *,
    seed: int,
    count: int = 1_000,
    concurrency: int = 100,
) -> list[str]:
    """Run the transfers of a seed through the proxy; a line for each that broke a rule."""
    run = Transfers(plan_transfers(seed, count), listener)
    asyncio.run(run.run(target, concurrency))
    return [
        f"seed {seed}, transfer {transfer.plan.identity}: {broken}\n  {transfer.plan}"
        for transfer in run.transfers
        if (broken := transfer.judge()) is not None
    ]
