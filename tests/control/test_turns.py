"""No command keeps control's loop from the others: what it looks at without a pause is counted."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from http import HTTPStatus

import pytest
import uvloop

from proxy.config.model.settings import Balancing, Check, Origin, Proxy
from proxy.control.command import Level
from proxy.control.command_line import CommandLine
from proxy.control.http.connection import Addresses, HttpConnection, Response, plain
from proxy.control.http.request import Request, parse_head
from proxy.control.http.services import HttpServices
from proxy.control.limits import (
    CORE_NS,
    IN_FORCE_LOOK_SECONDS,
    PASSED_LOOK_SECONDS,
    PIECES_AT_ONCE,
    SESSIONS_LOOK_SECONDS,
)
from proxy.control.places import Client, Places
from proxy.control.process import Control
from proxy.control.rows.service_counters import ServiceCounters
from proxy.control.turns import Turns
from proxy.runtime import now_ms
from tests.support.control.sections import METRICS
from tests.support.control.site import World, a_server

SERVERS, SECTIONS = 600, 200
LOOKS_OF_A_ROW = 4  # the server, its counters, those of its section, and the workers'
MEASURED = (
    "show stat",
    "show stat -1 1 -1",
    "show stat -1 2 -1",
    "show stat -1 4 77",
    "show stat up",
    "show stat no-maint typed",
    "show stat json",
    "show servers state",
    "show servers conn",
    "show backend",
    "show info",
    "show resolution",
    "show resolvers",
    "show why be/s7",
    "help",
    "clear counters",
    "clear counters all",
    "clear counters server be/s7",
    ";".join(f"set server be/s{number} state drain" for number in range(1, 200)),
    ";".join(f"get weight be/s{number}" for number in range(1, 200)),
)


class Looks:
    """Counts how often something is looked at, and how often before the next turn of the loop."""

    def __init__(self) -> None:
        self.all = self.turn = self.longest = self.rows = 0

    def counting(self, found: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **more: object) -> object:
            self.all += 1
            self.turn += 1
            self.longest = max(self.longest, self.turn)
            return found(*arguments, **more)

        return counted

    def counting_rows(self, found: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **more: object) -> object:
            self.rows += 1
            return found(*arguments, **more)

        return counted

    async def turns(self) -> None:
        """Everything else of the process."""
        while True:
            self.turn = 0
            await asyncio.sleep(0)


class Room:
    """A control in this process, over a large table; what it looks at is counted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks = Looks()
        self.control = Control(world.runtime)
        monitor, report = self.control.monitor, self.control.report
        for owner, names in (
            (report.observer, ("server",)),
            (monitor, ("server_counters", "backend_counters", "frontend_counters")),
        ):
            for name in names:
                setattr(owner, name, self.looks.counting(getattr(owner, name)))
        monitor.clear_some = self.looks.counting(monitor.clear_some)
        for name in ("server_of", "backend", "frontend"):
            setattr(report, name, self.looks.counting_rows(getattr(report, name)))

    async def ask(self, line: str) -> str:
        """The answer to a line, while others have their turns."""
        others = asyncio.create_task(self.looks.turns())
        command_line = CommandLine(self.control.commands, Level.ADMIN)
        parts = [part async for part in self.control.turns.chunks(command_line.answers(line))]
        others.cancel()
        return b"".join(parts).decode()


@contextmanager
def world_of(servers: int, sections: int, slowstart_ms: int = 0) -> Iterator[World]:
    """One large backend, and many small sections."""
    balancing = Balancing(slowstart_ms=slowstart_ms)
    large = tuple(
        a_server(f"s{at}", "127.78.9.1", 80, check=Check(), balancing=balancing)
        for at in range(1, servers + 1)
    )
    small = [
        Proxy(f"l{at}", 100 + at, "listen", Origin(), servers=(a_server("s", "127.78.9.2", 80),))
        for at in range(sections)
    ]
    stats = Proxy("stats", 99, "frontend", Origin(), http=METRICS)
    world = World([Proxy("be", 2, "backend", Origin(), servers=large), *small, stats])
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of(SERVERS, SECTIONS) as made:
        yield made


@pytest.mark.parametrize("line", MEASURED)
def test_a_command_lets_others_have_their_turn(world: World, line: str) -> None:
    async def scenario() -> Looks:
        room = Room(world)
        assert await room.ask(line)
        return room.looks

    looks = asyncio.run(scenario())
    assert looks.longest <= PIECES_AT_ONCE * LOOKS_OF_A_ROW


def test_many_commands_at_once_keep_others_no_longer_than_one(world: World) -> None:
    async def scenario() -> Looks:
        room = Room(world)
        async with asyncio.TaskGroup() as group:
            for line in ("show stat", "show stat json", "show servers state", "show stat up") * 4:
                group.create_task(room.ask(line))
        return room.looks

    looks = asyncio.run(scenario())
    assert looks.longest <= PIECES_AT_ONCE * LOOKS_OF_A_ROW


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", SERVERS + 3 * SECTIONS + 2),
        ("scope=frontend", SECTIONS + 1),
        ("scope=backend", SECTIONS + 1),
        ("scope=server&no-maint", SERVERS + SECTIONS),
        ("metrics=haproxy_process_uptime_seconds", 0),
        ("metrics=haproxy_backend_status,haproxy_frontend_status", 2 * SECTIONS + 2),
        ("metrics=-haproxy_server_status", SERVERS + 3 * SECTIONS + 2),
    ],
)
def test_a_scrape_lets_others_have_their_turn_and_builds_what_is_wanted(
    world: World, query: str, rows: int
) -> None:
    async def scenario() -> Looks:
        room = Room(world)
        others = asyncio.create_task(room.looks.turns())
        stats = next(proxy for proxy in world.settings.frontends if proxy.http)
        request = parse_head(f"GET /metrics?{query} HTTP/1.1\r\nHost: x".encode())
        services = HttpServices(room.control.report, room.control.turns)
        response = await services.answer(stats, request, Client(), Addresses(None, None))
        async with aclosing(response.parts) as parts:
            assert [part async for part in parts]
        others.cancel()
        return room.looks

    looks = asyncio.run(scenario())
    assert looks.longest <= PIECES_AT_ONCE * LOOKS_OF_A_ROW
    assert looks.rows == rows


def test_requests_in_a_row_let_others_have_their_turn() -> None:
    """All of them lie in the socket already, and their answers find room there."""
    looks, count = Looks(), 30

    async def answer(_request: Request, _client: Client, _addresses: Addresses) -> Response:
        looks.counting(lambda: None)()
        return plain(HTTPStatus.OK, "ready")

    async def scenario(ours: socket.socket) -> None:
        others = asyncio.create_task(looks.turns())
        served = (ours, Client(), answer, ServiceCounters(), lambda _addresses: None)
        await HttpConnection(*served, places=Places(1)).serve()
        others.cancel()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n" * count)
        theirs.shutdown(socket.SHUT_WR)
        asyncio.run(scenario(ours))
    assert looks.all == count
    assert looks.longest <= 2


@pytest.mark.parametrize(
    ("line", "rows", "looks_max"),
    [
        ("show stat -1 1 -1", SECTIONS + 1, 2 * SECTIONS + 10),
        ("show stat be 2 -1", 1, 4),
        ("show stat be 4 77", 1, 4),
        ("show stat be 4 77777", 0, 0),
        ("show stat l7 -1 -1", 3, 12),
    ],
)
def test_rows_that_a_filter_drops_are_not_built(
    world: World, line: str, rows: int, looks_max: int
) -> None:
    async def scenario() -> Looks:
        room = Room(world)
        await room.ask(line)
        return room.looks

    looks = asyncio.run(scenario())
    assert looks.rows == rows
    assert looks.all <= looks_max


def test_a_server_that_is_filtered_out_by_its_state_is_looked_at_and_not_built() -> None:
    async def scenario(world: World) -> tuple[int, str]:
        room = Room(world)
        await room.ask("set server be/s3 state maint")
        answer = await room.ask("show stat be 4 -1 no-maint")
        return room.looks.rows, answer

    with world_of(5, 0) as world:
        rows, answer = asyncio.run(scenario(world))
    assert rows == 4
    assert "be,s3," not in answer


ORDERS = (
    "set server be/s7 state drain",
    "set server be/s7 state maint",
    "set server be/s7 state ready",
    "set server be/s7 weight 3",
    "set server be/s7 health down",
    "set server be/s7 addr 127.78.9.7 port 81",
    "set maxconn server be/s7 9",
    "disable health be/s7",
    "disable server be/#7",
    "enable server be/#7",
)


def cost_of_orders(servers: int, sections: int, slowstart_ms: int) -> list[tuple[int, int]]:
    """Looks and decided records of each order."""

    async def scenario(world: World) -> list[tuple[int, int]]:
        room = Room(world)
        usable = room.control.monitor.usable
        usable.of(0)
        costs = []
        for order in ORDERS:
            before = room.looks.all, usable.looks
            await room.ask(order)
            room.control.monitor.look_at_availability(now_ms())
            costs.append((room.looks.all - before[0], usable.looks - before[1]))
        return costs

    with world_of(servers, sections, slowstart_ms) as world:
        return asyncio.run(scenario(world))


@pytest.mark.parametrize("slowstart_ms", [0, 60_000])
def test_the_cost_of_an_order_does_not_depend_on_the_size_of_the_table(slowstart_ms: int) -> None:
    small = cost_of_orders(10, 1, slowstart_ms)
    large = cost_of_orders(SERVERS, SECTIONS, slowstart_ms)
    assert small == large
    assert max(looks for looks, _ in large) <= 4
    assert max(decided for _, decided in large) <= 1


@pytest.mark.parametrize(
    "command",
    [
        "show stat -1 4 {}",
        "show stat {} 4 -1",
        "show stat -1 -{} -1",
        "show servers state #{}",
        "set server be/s7 weight {}",
        "set server be/#{} weight 1",
        "set server #{}/s7 weight 1",
        "set server be/s7 addr 127.0.0.1 port {}",
        "set maxconn server be/s7 {}",
    ],
)
def test_a_number_of_5000_digits_is_an_error_line(world: World, command: str) -> None:
    async def scenario() -> str:
        return await Room(world).ask(command.format("7" * 5_000))

    answer = asyncio.run(scenario())
    assert answer.count("\n") == 2
    assert answer.endswith("\n\n")
    assert len(answer) < 300


LOOKS = 40
PIECES = 600
PIECE_NS = CORE_NS // 10


def costly(pieces: int, piece_ns: int) -> Iterator[str]:
    """Pieces that take time of this thread, each as much."""
    for _ in range(pieces):
        until = time.thread_time_ns() + piece_ns
        while time.thread_time_ns() < until:
            pass
        yield "piece"


async def chunks_of(pieces: Iterator[str]) -> int:
    return sum([len(part) async for part in Turns().chunks(pieces)])


async def parts_of(pieces: Iterator[str]) -> int:
    return sum([len(part) async for part in Turns().parts(map(str.encode, pieces))])


async def work_of(pieces: Iterator[str]) -> int:
    done = 0

    def steps() -> Iterator[None]:
        nonlocal done
        for piece in pieces:
            done += len(piece)
            yield

    await Turns().work(steps())
    return done


@pytest.mark.parametrize(
    "seconds", [IN_FORCE_LOOK_SECONDS, SESSIONS_LOOK_SECONDS, PASSED_LOOK_SECONDS]
)
def test_between_two_looks_control_sleeps(seconds: float) -> None:
    """What comes to no millisecond is no time at all for uvloop: control would never rest."""

    async def looks() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        for _ in range(LOOKS):
            await asyncio.sleep(seconds)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before

    assert uvloop.run(looks()) >= LOOKS // 2


@pytest.mark.parametrize("way", [chunks_of, parts_of, work_of])
def test_a_long_answer_gives_its_core_to_others(
    way: Callable[[Iterator[str]], Coroutine[None, None, int]],
) -> None:
    """A relay that wakes on that core would wait for the scheduler's tick otherwise."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    began = time.thread_time_ns()
    assert asyncio.run(way(costly(PIECES, PIECE_NS))) == PIECES * len("piece")
    used = time.thread_time_ns() - began
    given = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
    assert given >= PIECES * PIECE_NS // CORE_NS - 1
    assert given <= used // CORE_NS + 10  # and for a short one it never sleeps
