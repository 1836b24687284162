"""Keys of stick tables: the hash is SipHash-1-3, and what the table keeps of a key."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shm.tables.entries import TableReader
from shm.tables.memory import StickTable
from shm.tables.shape import KeyType, TableShape
from tests.support.tables.steps import Steps, table_steps


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


def test_the_hash_is_the_interpreter_s(steps: Steps) -> None:
    """CPython hashes bytes with SipHash-1-3; without randomness its seed is zero."""
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip(f"this interpreter has {sys.hash_info.algorithm}")
    texts = [bytes(range(length)) for length in range(1, 70)]
    code = f"print(*(hash(t) for t in {texts!r}))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        check=True,
    ).stdout.split()
    assert [steps.sip(0, 0, text) & (1 << 64) - 1 for text in texts] == [
        int(word) & (1 << 64) - 1 for word in said
    ]


def test_two_tables_have_seeds_of_their_own(steps: Steps) -> None:
    """No sender can know which keys meet in one bucket."""
    shape = TableShape("t", KeyType.INTEGER, 4, 1_000_000)
    one, other = StickTable(shape), StickTable(shape)
    keys = [number.to_bytes(4, "little") for number in range(20)]
    assert [steps.buckets(one, key) for key in keys] != [steps.buckets(other, key) for key in keys]


@pytest.mark.parametrize(
    ("kind", "length", "key", "kept"),
    [
        (KeyType.STRING, 8, b"abc", b"abc\0\0\0\0\0"),
        (KeyType.STRING, 8, b"abcdefghij", b"abcdefgh"),
        (KeyType.STRING, 20, b"abc\0def", b"abc" + bytes(17)),
        (KeyType.BINARY, 12, b"a\0b", b"a\0b" + bytes(9)),
        (KeyType.BINARY, 12, b"a" + bytes(9) + b"bcd", b"a" + bytes(9) + b"bc"),
        (KeyType.IPV6, 16, bytes(15) + b"\1", bytes(15) + b"\1"),
    ],
)
def test_what_is_kept_of_a_key(
    steps: Steps, kind: KeyType, length: int, key: bytes, kept: bytes
) -> None:
    table = StickTable(TableShape("t", kind, length, 10))
    cell = steps.take(table, 0, key, 1)
    assert cell is not None
    assert steps.take(table, 0, kept, 1) == cell
    assert [entry.key for entry in TableReader(table).page(0, table.cells, 1)] == [kept]


def test_keys_that_begin_alike_are_different(steps: Steps) -> None:
    for kind in (KeyType.STRING, KeyType.BINARY):
        table = StickTable(TableShape("t", kind, 24, 100))
        keys = [b"", b"a", b"ab", b"a" * 8, b"a" * 9, b"a" * 16, b"a" * 24, b"a" * 8 + b"b"]
        if kind is KeyType.BINARY:
            keys += [b"a" + bytes(15) + b"b", b"a" + bytes(7) + b"c"]
        assert len({steps.take(table, 0, key, 1) for key in keys}) == len(keys)
