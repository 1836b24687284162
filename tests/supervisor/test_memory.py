"""Freed memory goes back to the kernel, however large a block was freed before."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from proxy.supervisor.memory import give_back_memory
from tests.support.common import PATIENCE_SECONDS
from tests.support.footprint import anonymous_bytes

LARGE_BYTES = 16 << 20  # a block that glibc maps, and whose end raises the threshold
BLOCK_BYTES = 65_536  # what a stalled session holds
BLOCKS = 128
LEFT_BYTES = 1 << 20


def peak(before: Callable[[], None], answer: Connection) -> None:
    """A large block, then many small ones: what is left of them."""
    before()
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free(ctypes.memset(libc.malloc(LARGE_BYTES), 1, LARGE_BYTES))
    held = anonymous_bytes(os.getpid())
    for block in [ctypes.memset(libc.malloc(BLOCK_BYTES), 1, BLOCK_BYTES) for _ in range(BLOCKS)]:
        libc.free(block)
    answer.send(anonymous_bytes(os.getpid()) - held)


def left_of_a_peak(before: Callable[[], None]) -> int:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=peak, args=[before, there])
    process.start()
    assert here.poll(PATIENCE_SECONDS), "the process does not answer"
    left: int = here.recv()
    process.join()
    return left


def nothing() -> None:
    """What a program does that leaves the threshold to glibc."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_of_a_peak_is_given_back() -> None:
    assert left_of_a_peak(nothing) > LEFT_BYTES
    assert left_of_a_peak(give_back_memory) <= LEFT_BYTES
