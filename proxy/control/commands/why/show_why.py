"""`show why <backend>/<server>`: the chain of causes from the last answer of DNS to the relays.

Reads the segment itself and asks resolverd for what it remembers; without an answer of resolverd
the records alone are told, and that it is so.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.mail import Mail
from proxy.control.commands.resolution import ago
from proxy.control.commands.why import chain, worker_line
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from resolverd.records.schema import Account


class ShowWhy:
    """The command that explains a server."""

    def __init__(self, report: Report, mail: Mail) -> None:
        self.report = report
        self.mail = mail

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "why"),
                "<bk>/<srv>",
                "why a server takes sessions, or why not",
                Level.USER,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show why <backend>/<server>`."""
        if not words:
            raise CommandError("Require 'backend/server'.")
        return self.lines(*self.report.directory.server(words[0]))

    def lines(self, proxy: Proxy, server: Server) -> Iterator[Piece]:
        """The chain, then each worker."""
        accounts: list[Account] = []
        observed = self.report.observer.server(proxy, server)
        if server.resolution_index is None and not observed.order:
            origin = f"none; {server.host} is not asked for at run time"
        else:
            origin = ""
            inquiry = self.mail.server(server.slot)
            yield inquiry
            page = inquiry.page(Account)
            if page is None:
                origin = f"{observed.name or server.host}; {self.absence()}"
            else:
                accounts = page.rows
        yield from chain(self.report.observer.server(proxy, server), accounts, origin, now_ms())
        published = self.report.runtime.segment.table_generation
        for worker in range(self.report.runtime.workers):
            yield worker_line(worker, self.report.monitor.board.status(worker), published)

    def absence(self) -> str:
        """That resolverd does not answer."""
        status = self.report.monitor.board.status(
            self.report.runtime.segment.shape.resolverd_process
        )
        age_ms = now_ms() - status.main_beat_ms if status.main_beat_ms else None
        return f"resolverd does not answer (heartbeat {ago(age_ms)}), its records say the rest"
