"""Serves the listening sockets of the sections in mode http.

Imported by a control process that has such sockets, and by no other: pages, metrics and what they
import are a tenth of what a program without them would load.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from proxy.config.model.settings import Proxy
from proxy.control.acceptor import Acceptor
from proxy.control.commands.mail import Mail
from proxy.control.commands.set_server import SetServer
from proxy.control.http.connection import Addresses, HttpConnection, Response
from proxy.control.http.pages import Pages
from proxy.control.http.request import Request
from proxy.control.http.services import HttpServices
from proxy.control.limits import LARGE_ANSWERS_MAX, TICK_SECONDS
from proxy.control.page.subject import PageSubject
from proxy.control.places import Client, Places
from proxy.control.rows.report import Report
from proxy.control.situation.faults import SiteFaults
from proxy.control.situation.recorder import Recorder
from proxy.control.turns import Turns
from proxy.runtime import now_ms


class HttpSockets:
    """The connections of all such sections; `frontends` are the sections by number."""

    def __init__(
        self,
        report: Report,
        turns: Turns,
        acceptor: Acceptor,
        frontends: Mapping[int, Proxy],
        *,
        mail: Mail,
        orders: SetServer,
    ) -> None:
        self.faults: SiteFaults | None = None
        self.recorder: Recorder | None = None
        pages = None
        if any(proxy.http is not None and proxy.http.page for proxy in frontends.values()):
            self.faults, self.recorder = SiteFaults(report), Recorder(report)
            subject = PageSubject(report, self.faults, self.recorder.history, mail)
            pages = Pages(subject, turns, orders)
        self.services = HttpServices(report, turns, pages)
        self.report = report
        self.turns = turns
        self.monitor = report.monitor
        self.acceptor = acceptor
        self.places = Places(LARGE_ANSWERS_MAX)
        self.frontends = frontends

    async def follow(self) -> None:
        """Keep what pages tell of up to date for ever, a look a second; at once without a page."""
        if self.faults is None or self.recorder is None:
            return
        await self.turns.work(self.recorder.carry(self.report.old))
        while True:
            self.recorder.history.look(now_ms())
            await self.turns.work(self.faults.steps())
            self.recorder.changed(self.faults.take_changed(), now_ms())
            await asyncio.sleep(TICK_SECONDS)

    async def serve(self, listening: socket.socket, frontend: int) -> None:
        """Serve one socket for ever."""
        proxy = self.frontends[frontend]
        counters = self.monitor.services[frontend]
        rules = self.services.rules[proxy.name]

        async def answer(request: Request, client: Client, addresses: Addresses) -> Response:
            return await self.services.answer(proxy, request, client, addresses)

        async def converse(connection: socket.socket, client: Client) -> None:
            served = (connection, client, answer, counters, rules.denial)
            await HttpConnection(*served, places=self.places).serve()

        await self.acceptor.accept(listening, converse)
