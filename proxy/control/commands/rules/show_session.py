"""`show why session`: what the rules would decide for a client, and which rule decides.

A question and no connection: limits, and what lies in stick tables, are no part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.commands.rules.client import AskedClient, parse_client
from proxy.control.commands.rules.course import Course, Destinations, binds_met
from proxy.control.commands.rules.rulings import Rulings
from proxy.control.rows.report import Report
from shm.states import Operational


class ShowSession:
    """The command that explains where a session would go."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._rulings: Rulings | None = None  # made when they are needed first

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "why", "session"),
                "<src>[:<port>] [<dst>[:<port>]] [sni=<name>] [frontend=<name>]",
                "what rules would decide for a client",
                Level.USER,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show why session ...`."""
        client = parse_client(words)
        frontends = self.chosen(client)
        if not frontends:
            raise CommandError("No frontend takes such clients.")
        return self.lines(client, frontends)

    def chosen(self, client: AskedClient) -> tuple[Proxy, ...]:
        """The frontends that the client may have come to."""
        every = self.report.frontends
        if client.frontend is not None:
            every = tuple(proxy for proxy in every if proxy.name == client.frontend)
            if not every:
                raise CommandError("No such frontend.")
        return tuple(
            proxy for proxy in every if proxy.http is None and binds_met(proxy.binds, client)
        )

    def lines(self, client: AskedClient, frontends: tuple[Proxy, ...]) -> Iterator[str]:
        """The course at each frontend."""
        if self._rulings is None:
            runtime = self.report.runtime
            self._rulings = Rulings(self.report.settings, runtime.segment, runtime.every_list)
        servers = self.report.servers
        names = Destinations(self.report.backends, lambda slot: servers[slot].name, self.serves)
        for proxy in frontends:
            binds = binds_met(proxy.binds, client)
            yield from Course(proxy, binds, client, self._rulings, names).report()

    def serves(self, slot: int) -> bool:
        """Whether a server takes sessions that rules send to it: also one that drains.

        With `option persist` one that is down does, too, if it has an address.
        """
        server = self.report.servers[slot]
        backend = self.report.backends[server.backend_index]
        observed = self.report.observer.server(backend, server)
        if backend.persist and observed.state.address is not None:
            return True
        return not observed.state.maint and observed.state.operational != Operational.STOPPED
