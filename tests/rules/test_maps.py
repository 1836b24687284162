"""Maps in memory: any file is read; each is there once, with equal values once, in few bytes."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.lists.pack import Packer
from tests.support.config.loading import settings_of

LINES = 100_000
BYTES_A_LINE_MAX = 64
KEYS: dict[str, Callable[[int], str]] = {
    "str": "host{}.example.com".format,
    "dom": "host{}.example.com".format,
    "ip": lambda number: f"{ipaddress.IPv4Address(number)}/{24 + number % 9}",
    "int": "{}".format,
}


def packed(method: str, lines: list[str]) -> bytes:
    packer = Packer(method, gives="str", asked=False)
    packer.open("\n".join(lines).encode())
    assert packer.read() is None
    assert len(packer) == len(lines)
    return packer.packed()


@pytest.mark.parametrize("method", KEYS)
def test_a_long_map_has_each_of_its_lines_in_few_bytes(method: str, seed: int) -> None:
    numbers = random.Random(seed).sample(range(1 << 32), LINES)
    content = packed(method, [f"{KEYS[method](each)} backend{each % 50}" for each in numbers])
    assert len(content) < BYTES_A_LINE_MAX * LINES


def test_equal_values_are_there_once() -> None:
    value = "v" * 1_000
    assert len(packed("str", [f"key{number} {value}" for number in range(1_000)])) < 50_000


def test_lines_that_look_up_in_one_map_share_it(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text("a b\n")
    rules = "".join(
        f"  http-request deny if {{ path,map({path}) x{number} }}\n"
        f"  http-request return status 200 content-type a/b lf-string %[path,lower,map({path})]\n"
        for number in range(3)
    )
    settings = settings_of(
        "listen stats\n  mode http\n  bind 127.0.0.1:1\n  timeout client 1s\n" + rules
    )
    assert sum(b"\1\0" + bytes(4) + b"a" in each for each in settings.lists) == 1


@pytest.mark.parametrize("gives", ["str", "int", "ip"])
@pytest.mark.parametrize("method", ["int", "ip", "str", "dom", "sub", "reg"])
@given(content=st.binary(max_size=300))
def test_any_file_of_a_map_is_read_to_its_end(method: str, gives: str, content: bytes) -> None:
    packer = Packer(method, gives=gives, asked=False)
    packer.open(content)
    with suppress(ValueError):
        while packer.read() is not None:
            pass
    assert packer.line <= content.count(b"\n") + 1
    assert packer.packed()
