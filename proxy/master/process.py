"""The process of the master CLI: its sockets, its heartbeat, and the news of the supervisor.

It belongs to no generation. Clients of it wait in the queues of its sockets, which are the
supervisor's, while a successor is started. It reads what strangers send, so it has no more rights
than a worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import NoReturn

import uvloop

from proxy.control.acceptor import Acceptor
from proxy.control.caller import Caller
from proxy.control.command import Level
from proxy.control.command_line import LEVEL_NAMES
from proxy.control.limits import BEAT_SECONDS, MASTER_CONNECTIONS_MAX
from proxy.control.places import Client
from proxy.control.stats_socket import StatsConversation
from proxy.control.turns import Turns
from proxy.log import error_line
from proxy.master.inheritance import MasterInheritance, MasterMoment
from proxy.master.line import MasterLine
from proxy.master.orders import ReloadOrders
from proxy.runtime import now_ms
from shm.log_level import LogLevel
from shm.states import ProcessState

NO_MORE = signal.SIGUSR1  # another master serves the sockets: accept no more


class MasterCli:
    """Everything that the process serves."""

    def __init__(self, inherited: MasterInheritance, moment: MasterMoment) -> None:
        self._inherited = inherited
        self._moment = moment
        self._orders = ReloadOrders(inherited)
        self._turns = Turns()
        self._acceptor = Acceptor(MASTER_CONNECTIONS_MAX, self._failed, lambda: None)

    def _failed(self, error: BaseException) -> None:
        """Log what a conversation died of."""
        self._moment.log(LogLevel.ERR, f"master: {error_line(error)}")

    def _note_order(self, text: str) -> None:
        """Note an order of a client among the events."""
        self._moment.events.write(time.time_ns() // 1_000, LogLevel.NOTICE, text)

    async def _serve(self, listening: socket.socket, level: Level) -> None:
        async def converse(connection: socket.socket, client: Client) -> None:
            caller = Caller(connection, client)
            line = MasterLine(
                level,
                self._moment.timeout_ms,
                self._orders,
                self._inherited.calls,
                caller=caller,
                note=self._note_order,
            )
            talk = StatsConversation(connection, client, self._turns, line, caller=caller)
            await talk.serve()

        await self._acceptor.accept(listening, converse)

    async def _beat(self) -> None:
        """Say for ever that the loop turns."""
        while True:
            self._inherited.records.live(ProcessState.READY, now_ms())
            await asyncio.sleep(BEAT_SECONDS)

    async def main(self) -> None:
        """Serve everything; returns only by an exception."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inherited.outcome_bell, self._orders.hear)
        loop.add_signal_handler(NO_MORE, self._acceptor.pause)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            for listening, line in self._inherited.sockets:
                group.create_task(self._serve(listening, LEVEL_NAMES[line.level]))


def run(inherited: MasterInheritance, moment: MasterMoment) -> NoReturn:
    """Be the master until the supervisor ends it; ends with status 1 otherwise."""
    try:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(MasterCli(inherited, moment).main())
    except Exception as error:
        moment.log(LogLevel.ERR, f"master: {error_line(error)}")
    os._exit(1)
