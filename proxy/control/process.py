"""The control process: what it serves, its heartbeat, and its place as writer of admin records.

Runs after the fork, with the supervisor's inheritance; ends by the default action of SIGTERM, when
it has retired, or when something that cannot happen does (then the supervisor starts another). No
client's connection depends on it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import NoReturn

import uvloop

from proxy.config.model.settings import StatsSocket
from proxy.control.acceptor import Acceptor
from proxy.control.call import take_stream
from proxy.control.called import Called
from proxy.control.command import Command, CommandTable
from proxy.control.command_line import LEVEL_NAMES, CommandLine
from proxy.control.commands.clear_counters import ClearCounters
from proxy.control.commands.clients.frontends import Frontends
from proxy.control.commands.clients.limits import ClientLimits
from proxy.control.commands.configuration.show_config import ShowConfig
from proxy.control.commands.events.show_events import ShowEvents
from proxy.control.commands.lists.orders import Lists
from proxy.control.commands.mail import Mail
from proxy.control.commands.members.backends import BackendOrders
from proxy.control.commands.members.orders import MemberOrders
from proxy.control.commands.members.templates import ShowTemplates
from proxy.control.commands.process.facts import ProcessFacts
from proxy.control.commands.process.insides import inside_commands
from proxy.control.commands.process.schema import SchemaCommand
from proxy.control.commands.process.variables import Variables
from proxy.control.commands.rules.show_rules import ShowRules
from proxy.control.commands.rules.show_session import ShowSession
from proxy.control.commands.sessions.generations import Sessions
from proxy.control.commands.sessions.show_proc import ShowProc
from proxy.control.commands.sessions.show_sess import ShowSess
from proxy.control.commands.sessions.shutdown import Shutdown
from proxy.control.commands.set_server import SetServer
from proxy.control.commands.show_info import ShowInfo
from proxy.control.commands.show_resolution import ShowResolution
from proxy.control.commands.show_resolvers import ShowResolvers
from proxy.control.commands.show_servers import ShowServers
from proxy.control.commands.show_stat import ShowStat
from proxy.control.commands.tables.orders import Tables
from proxy.control.commands.wait import WaitCommand
from proxy.control.commands.why.show_why import ShowWhy
from proxy.control.giving import Giving
from proxy.control.limits import (
    SERVICE_CONNECTIONS_MAX,
    STATS_CONNECTIONS_MAX,
    TICK_SECONDS,
)
from proxy.control.old_generations import OldGenerations
from proxy.control.pausing import settle_closed
from proxy.control.places import Client
from proxy.control.retirement import Retirement
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.control.situation.reached import LimitsReached
from proxy.control.stats_socket import StatsConversation
from proxy.control.turns import Turns
from proxy.log import error_line
from proxy.members.table_changes import ServerMembers
from proxy.runtime import Runtime, now_ms
from shm.client_orders import ClientOrdersWriter
from shm.gate import wait_at_gate
from shm.locks import ADMIN_WRITER, take_role
from shm.log_level import LogLevel
from shm.names import NameOrderWriter
from shm.processes import ProcessSelf
from shm.slots import AdminTableWriter
from shm.states import ProcessCommand, ProcessState


def all_commands(
    report: Report, mail: Mail, orders: SetServer, beat: Callable[[], None]
) -> list[Command]:
    """The commands of all families; `beat` is called while one takes long."""
    resolvers = ShowResolvers(report)
    sessions = Sessions(report)
    lists = Lists(report, beat)
    return [
        *ShowServers(report).commands(),
        *ClearCounters(report).commands(),
        *ShowStat(report, resolvers.stat).commands(),
        *ShowInfo(report).commands(),
        *ProcessFacts(report).commands(),
        *SchemaCommand().commands(),
        *inside_commands(report, mail),
        *Variables(report).commands(),
        *resolvers.commands(),
        *ShowResolution(report, mail).commands(),
        *ShowWhy(report, mail).commands(),
        *ShowEvents(report).commands(),
        *ShowRules(report).commands(),
        *ShowSession(report).commands(),
        *Tables(report).commands(),
        *ShowSess(sessions).commands(),
        *Shutdown(sessions).commands(),
        *ShowProc(report).commands(),
        *lists.commands(),
        *ShowConfig(report, lists).commands(),
        *ShowTemplates(report).commands(),
        *orders.commands(),
    ]


class Control:
    """Everything that the process serves."""

    def __init__(self, runtime: Runtime, elders: tuple[Runtime, ...] = ()) -> None:
        self.runtime = runtime
        self.me = ProcessSelf(runtime.segment, runtime.segment.shape.control_process)
        self.me.beat(now_ms())
        members = ServerMembers(runtime.servers, runtime.segment)
        members.catch_up()  # before anything is made of the table
        self.monitor = Monitor(runtime, now_ms())
        self.report = Report(runtime, self.monitor, OldGenerations(elders))
        self.reached = LimitsReached(self.report)
        self.mail = Mail(runtime)
        segment = runtime.segment
        orders = SetServer(self.report, AdminTableWriter(segment), NameOrderWriter(segment))
        self.orders = orders
        clients = (self.report, ClientOrdersWriter(segment), orders.in_force)
        self.members = MemberOrders(self.report, orders, members)
        backends = BackendOrders(self.report, self.members)
        self.commands = CommandTable(
            [
                *all_commands(self.report, self.mail, orders, lambda: self.me.beat(now_ms())),
                *self.members.commands(),
                *backends.commands(),
                *WaitCommand(self.members.removable, backends.removable).commands(),
                *Frontends(*clients, orders.refuse_if_replaced).commands(),
                *ClientLimits(*clients, orders.refuse_if_replaced).commands(),
            ]
        )
        self.giving = Giving(runtime)
        self.turns = Turns()
        self.stats_timeout_ms = runtime.settings.globals.stats_timeout_ms
        failed, paused = self.connection_failed, self.monitor.accept_paused
        self.stats_acceptor = Acceptor(STATS_CONNECTIONS_MAX, failed, paused)
        self.service_acceptor = Acceptor(SERVICE_CONNECTIONS_MAX, failed, paused)
        self.retirement = Retirement(self.me, self.stats_acceptor, self.service_acceptor, orders)

    def note_order(self, text: str) -> None:
        """Note an order of a client among the events."""
        self.runtime.events.write(time.time_ns() // 1_000, LogLevel.NOTICE, text)

    async def serve_stats(self, listening: socket.socket, stats: StatsSocket) -> None:
        """Serve one stats socket for ever."""
        level = LEVEL_NAMES[stats.level]
        give = self.giving.give if stats.exposes else self.giving.refuse

        async def converse(connection: socket.socket, client: Client) -> None:
            line = CommandLine(self.commands, level, self.stats_timeout_ms, self.note_order)
            await StatsConversation(connection, client, self.turns, line, give=give).serve()

        await self.stats_acceptor.accept(listening, converse)

    def http_sockets(self) -> list[Coroutine[None, None, None]]:
        """What serves each socket of the sections in mode http for ever."""
        sockets = self.runtime.service_sockets
        if not sockets:
            return []
        from proxy.control.http.serving import HttpSockets  # noqa: PLC0415 (few files need it)

        frontends = {
            proxy.frontend_index: proxy
            for proxy in self.runtime.settings.frontends
            if proxy.frontend_index is not None
        }
        served = HttpSockets(
            self.report,
            self.turns,
            self.service_acceptor,
            frontends,
            mail=self.mail,
            orders=self.orders,
        )
        serving = [served.serve(listening, frontend) for frontend, listening in sockets]
        return [served.follow(), *serving]

    def hear(self) -> None:
        """The bell was rung: resolverd has answered, or the supervisor wants something."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.runtime.bells.control)
        self.mail.hear()
        self.look()

    def look(self) -> None:
        """Do what the supervisor commands."""
        self.retirement.look()
        if self.me.command == ProcessCommand.SOFT_STOP:
            self.giving.end()

    async def tick(self) -> None:
        """Once a second, for ever: say that the loop turns, look at the counters and the command.

        A ring may be lost.
        """
        self.me.beat(now_ms())
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.me.beat(now_ms())
            self.look()
            self.monitor.tick(now_ms())
            self.reached.look(now_ms())
            self.report.old.look()

    def connection_failed(self, error: BaseException) -> None:
        """Log what a connection died of."""
        self.runtime.log(LogLevel.ERR, f"control: {error_line(error)}")

    async def main(self) -> None:
        """Serve everything; returns only by an exception."""
        stats = self.runtime.settings.globals.stats_sockets
        asyncio.get_running_loop().add_reader(self.runtime.bells.control, self.hear)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tick())
            for listening, line in zip(self.runtime.stats_sockets, stats, strict=True):
                group.create_task(self.serve_stats(listening, line))
            if (calls := self.runtime.master_calls) is not None:
                called = Called(
                    self.report,
                    self.commands,
                    self.turns,
                    self.stats_timeout_ms,
                    self.note_order,
                )
                serving_calls = self.stats_acceptor.accept(calls, called.serve, take_stream)
                group.create_task(serving_calls)
            for serving in self.http_sockets():
                group.create_task(serving)
            self.me.state(ProcessState.READY)  # before anything of the group has run


def run(runtime: Runtime, elders: tuple[Runtime, ...]) -> NoReturn:
    """Be the control process of this generation until SIGTERM; ends with status 1 otherwise.

    `elders` are the generations before it that live; their bells and segments are inherited.
    """
    try:
        take_role(runtime.segment.fd, ADMIN_WRITER)
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        control = Control(runtime, elders)
        wait_at_gate(control.me, runtime.bells.control)
        control.monitor.begin(now_ms())
        settle_closed(runtime)
        loop.run_until_complete(control.main())
    except Exception as error:
        runtime.log(LogLevel.ERR, f"control: {error_line(error)}")
    os._exit(1)
