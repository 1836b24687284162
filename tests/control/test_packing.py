"""Metrics in gzip: who gets them, that they are the same, and that the loop turns while one packs."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
from collections.abc import AsyncGenerator, Iterator
from itertools import pairwise

import pytest

from proxy.config.model.settings import Origin, Proxy
from proxy.control.http.packing import Packing, takes_gzip
from tests.support.control.http import Answer, get
from tests.support.control.sections import METRICS
from tests.support.control.site import World, a_server, control_world, read_all

SERVERS = 300
PORTIONS = 5
PORTION_BYTES = 4 << 20
HALVES = (b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"Accept-Encoding: gzip\r\n\r\n")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = tuple(a_server(f"s{number}", "127.78.9.1", 80) for number in range(SERVERS))
    with control_world(
        [
            Proxy("be", 2, "backend", Origin(), servers=servers),
            Proxy("metrics", 3, "frontend", Origin(), http=METRICS),
        ]
    ) as made:
        yield made


def of(world: World, accepted: str) -> Answer:
    return get(world, "metrics", "/metrics?scope=server", headers={"Accept-Encoding": accepted})


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("x-gzip", True),
        ("gzip;q=1", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("gzipped, br", False),
        ("", False),
    ],
)
def test_who_takes_it(accepted: str, taken: bool) -> None:
    assert takes_gzip(accepted) is taken


def test_it_is_the_same_text_and_less_of_it(world: World) -> None:
    plain, packed = of(world, "identity"), of(world, "gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["content-type"] == packed.headers["content-type"]
    text = gzip.decompress(packed.body)
    assert text.count(b"\n") == plain.body.count(b"\n") > 20 * SERVERS
    assert text.count(b'server="s299"') == plain.body.count(b'server="s299"') > 20
    assert len(packed.body) * 10 < len(text)


def test_it_ends_where_the_connection_goes_on(world: World) -> None:
    """Chunks of one answer and the head of the next."""
    with socket.create_connection(world.services["metrics"].getsockname()) as client:
        client.sendall(b"".join(HALVES) + HALVES[0] + b"Connection: close\r\n" + HALVES[1])
        said = read_all(client)
    assert said.count(b"HTTP/1.1 200 OK\r\n") == said.count(b"Content-Encoding: gzip\r\n") == 2
    assert said.endswith(b"\r\n0\r\n\r\n")


def test_others_have_their_turn_while_a_portion_is_packed() -> None:
    """Portions of bytes that nothing packs: the loop turns within each, whatever that takes."""
    generator = random.Random(7)
    portions = [generator.randbytes(PORTION_BYTES) for _ in range(PORTIONS)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def parts() -> AsyncGenerator[bytes, None]:
        for portion in portions:
            yield portion

    async def pack() -> tuple[bytes, list[int]]:
        other = asyncio.create_task(others())
        await asyncio.sleep(0)
        packed, seen = b"", [turns]
        async for part in Packing().packed(parts()):
            packed += part
            seen.append(turns)
        other.cancel()
        return packed, seen

    packed, seen = asyncio.run(pack())
    assert gzip.decompress(packed) == b"".join(portions)
    assert all(after > before for before, after in pairwise(seen)), seen
