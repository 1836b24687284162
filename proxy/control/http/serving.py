"""Serves the listening sockets of the sections in mode http.

Imported by a control process that has such sockets, and by no other: pages, metrics and what they
import are a tenth of what a program without them would load.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from proxy.config.model.settings import Proxy
from proxy.control.acceptor import Acceptor
from proxy.control.http.connection import Addresses, HttpConnection, Response
from proxy.control.http.request import Request
from proxy.control.http.services import HttpServices
from proxy.control.places import Client
from proxy.control.rows.report import Report
from proxy.control.turns import Turns


class HttpSockets:
    """The connections of all such sections; `frontends` are the sections by number."""

    def __init__(
        self, report: Report, turns: Turns, acceptor: Acceptor, frontends: Mapping[int, Proxy]
    ) -> None:
        self.services = HttpServices(report, turns)
        self.monitor = report.monitor
        self.acceptor = acceptor
        self.frontends = frontends

    async def serve(self, listening: socket.socket, frontend: int) -> None:
        """Serve one socket for ever."""
        proxy = self.frontends[frontend]
        counters = self.monitor.services[frontend]
        rules = self.services.rules[proxy.name]

        async def answer(request: Request, client: Client, addresses: Addresses) -> Response:
            return await self.services.answer(proxy, request, client, addresses)

        async def converse(connection: socket.socket, client: Client) -> None:
            await HttpConnection(connection, client, answer, counters, rules.denial).serve()

        await self.acceptor.accept(listening, converse)
