"""How control gives way to its successor at a reload, and comes back where that is called off.

Accepting ends first, so that new clients wait for the successor. Clients that were let in may still
order, for LAST_ORDERS_SECONDS_MAX at most. Then the process says RETIRED: from here on it changes
no record, and the supervisor copies them. Conversations end with the answer that they are owed; a
client that was let in and asks within SILENT_SECONDS_MAX gets one, too, be it that an order came
too late. The process ends with the last of them; the supervisor has the limit.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from proxy.control.acceptor import Acceptor
from proxy.control.commands.set_server import SetServer
from proxy.control.limits import (
    LAST_ORDERS_SECONDS_MAX,
    RETIRING_LOOK_SECONDS,
    SILENT_SECONDS_MAX,
)
from proxy.control.places import Client
from shm.processes import ProcessSelf
from shm.states import ProcessCommand, ProcessState


class Retirement:
    """Follows the supervisor's command; `look` is called whenever it may have changed."""

    def __init__(
        self, me: ProcessSelf, stats: Acceptor, services: Acceptor, orders: SetServer
    ) -> None:
        self._me = me
        self._stats = stats  # where orders come from
        self._acceptors = (stats, services)
        self._orders = orders
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin or take back what the command says."""
        wanted = self._wanted
        if wanted and self._task is None:
            self._task = asyncio.create_task(self._retire())
        elif not wanted and self._task is not None:
            self._task.cancel()
            self._task = None
            self._come_back()

    @property
    def _wanted(self) -> bool:
        return self._me.command == ProcessCommand.RETIRE

    @property
    def _clients(self) -> set[Client]:
        return {client for acceptor in self._acceptors for client in acceptor.clients}

    async def _retire(self) -> None:
        for acceptor in self._acceptors:
            acceptor.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ORDERS_SECONDS_MAX):
                while any(client.owed for client in self._stats.clients):
                    await asyncio.sleep(RETIRING_LOOK_SECONDS)
        self._orders.replaced = True
        self._me.state(ProcessState.RETIRED)
        await self._finish()
        if self._wanted:
            os._exit(0)

    async def _finish(self) -> None:
        """Return when all have their answers; ends clients that twice asked nothing.

        One that was never answered is given time for its question.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + SILENT_SECONDS_MAX
        quiet: set[Client] = set()
        while clients := self._clients:
            silent = {each for each in clients if each.task is not None and not each.begun}
            if loop.time() < until:
                silent = {each for each in silent if not each.owed}
            for client in silent & quiet:
                client.put_out()
            quiet = silent
            await asyncio.sleep(RETIRING_LOOK_SECONDS)

    def _come_back(self) -> None:
        self._orders.replaced = False
        self._me.state(ProcessState.READY)
        for acceptor in self._acceptors:
            acceptor.resume()
