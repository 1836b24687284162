"""Orders about checks: whole at any moment, whatever their writer does or dies of."""

from __future__ import annotations

import os
import signal

import pytest

from shm.check_orders import (
    AS_CONFIGURED,
    COPY_BYTES,
    HEAD_BYTES,
    CheckOrder,
    CheckOrders,
)
from shm.shape import SLOTS_MAX

FIRST, SECOND = CheckOrder("10.0.0.1", 80), CheckOrder("2001:db8::1", None)


@pytest.mark.parametrize("slot", [0, 7, SLOTS_MAX - 1])
def test_the_last_order_is_in_force(slot: int) -> None:
    orders = CheckOrders()
    assert orders.read(slot) == AS_CONFIGURED
    for order in (FIRST, SECOND, CheckOrder(None, 0), FIRST, AS_CONFIGURED, SECOND):
        orders.publish(slot, order)
        assert orders.read(slot) == order
        assert orders.read((slot + 1) % SLOTS_MAX) == AS_CONFIGURED


def test_the_unspecified_address_is_the_servers_own() -> None:
    for text, host in (("0.0.0.0", None), ("::", None), ("::1", "::1"), (None, None)):
        assert CheckOrder(text).host == host


@pytest.mark.parametrize("torn", range(COPY_BYTES))
def test_half_an_order_changes_nothing(torn: int) -> None:
    """A writer that was killed after so many bytes; its successor goes on from there."""
    orders = CheckOrders()
    orders.publish(0, FIRST)  # into the first copy
    third = CheckOrders()
    for order in (FIRST, SECOND, CheckOrder("10.0.0.3", 3)):
        third.publish(0, order)
    whole = third._memory[HEAD_BYTES : HEAD_BYTES + COPY_BYTES]
    orders.publish(0, SECOND)
    orders._memory[HEAD_BYTES : HEAD_BYTES + torn] = whole[:torn]
    assert orders.read(0) in (SECOND, CheckOrder("10.0.0.3", 3))  # whole before its last bytes
    orders.publish(0, FIRST)
    assert orders.read(0) == FIRST


def test_the_first_order_is_in_force_as_a_whole_or_not_at_all() -> None:
    orders = CheckOrders()
    orders.publish(0, FIRST)
    orders._memory[HEAD_BYTES] ^= 1  # a byte is missing yet
    assert orders.read(0) == AS_CONFIGURED
    orders.publish(0, SECOND)
    assert orders.read(0) == SECOND


def test_what_never_holds_still_is_said_to_be_that() -> None:
    orders = CheckOrders()
    for order in (FIRST, SECOND):
        orders.publish(0, order)
    for copy in range(2):
        orders._memory[HEAD_BYTES + copy * COPY_BYTES] ^= 1
    with pytest.raises(BlockingIOError):
        orders.read(0)


def test_another_process_reads_only_whole_orders() -> None:
    orders = CheckOrders()
    orders.publish(3, FIRST)
    pid = os.fork()
    if pid == 0:
        while True:
            for order in (SECOND, FIRST):
                orders.publish(3, order)
    try:
        seen = {orders.read(3) for _ in range(20_000)}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert seen == {FIRST, SECOND}
