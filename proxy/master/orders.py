"""Reloads that clients order, and what came of each: two records that the supervisor shares.

The supervisor never hears of a client. It sees that more reloads are ordered than it has begun, and
says up to which order the last one answers; so any number of clients that order while one goes on
are answered by one more.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from proxy.control.command import Vigil
from proxy.control.limits import OUTCOME_LOOK_SECONDS, RELOAD_SECONDS_MAX
from proxy.master.inheritance import MasterInheritance
from shm.master_orders import ReloadOutcome


class ReloadOrders:
    """The master's side of the records."""

    def __init__(self, inherited: MasterInheritance) -> None:
        self._records = inherited.records
        self._supervisor_bell = inherited.orders_bell
        self._bell = inherited.outcome_bell
        self._waiting: set[asyncio.Event] = set()

    def order(self, *, hard: bool) -> Reloaded:
        """Order a reload; `hard`: sessions of former generations end with it."""
        number = self._records.order_reload(hard=hard)
        with suppress(BlockingIOError):  # a bell that is full wakes its reader anyway
            os.eventfd_write(self._supervisor_bell, 1)
        return Reloaded(self, number)

    def hear(self) -> None:
        """The bell was rung: there is an outcome."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        for event in self._waiting:
            event.set()

    def outcome(self) -> ReloadOutcome:
        """What came of the last start or reload; raises BlockingIOError: it does not hold still."""
        return self._records.outcome()

    def answer_to(self, number: int) -> ReloadOutcome | None:
        """What came of an order; None: nothing yet."""
        with suppress(BlockingIOError):
            outcome = self._records.outcome()
            return outcome if outcome.answered >= number else None
        return None

    async def news(self) -> None:
        """Return when there may be a new outcome: a lost ring costs one look."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(OUTCOME_LOOK_SECONDS):
                    await event.wait()
        finally:
            self._waiting.discard(event)


class Reloaded(Vigil):
    """The wait for what comes of one order; `outcome` is None when nothing did in time."""

    def __init__(self, orders: ReloadOrders, number: int) -> None:
        self._orders = orders
        self._number = number
        self.outcome: ReloadOutcome | None = None

    async def over(self) -> None:
        """Return when a reload that was begun after the order has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RELOAD_SECONDS_MAX):
                while (outcome := self._orders.answer_to(self._number)) is None:
                    await self._orders.news()
                self.outcome = outcome
