"""`show why`: of a server the chain of causes from the last answer of DNS to the relays.

Reads the segment itself and asks resolverd for what it remembers; without an answer of resolverd
the records alone are told, and that it is so.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.mail import Mail
from proxy.control.commands.resolution import ago
from proxy.control.commands.why.chain import chain, worker_line
from proxy.control.commands.why.overview import (
    backend_lines,
    frontend_lines,
    idle_lines,
    load_of,
)
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from resolverd.records.schema import Account

USAGE = "usage: show why [<backend>/<server> | <backend> | frontend <frontend>]"


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
                "[<bk>/<srv>|<bk>|frontend <fe>]",
                "why a server takes sessions, or why not; alone: all that take none",
                Level.USER,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show why [<backend>/<server> | <backend> | frontend <frontend>]`."""
        directory = self.report.directory
        if not words:
            return idle_lines(self.report)
        if len(words) > 2 or (len(words) == 2 and words[0] != "frontend"):
            raise CommandError(USAGE)
        if len(words) == 2:
            frontend = directory.frontend(words[1])
            if frontend is None:
                raise CommandError("No such frontend.")
            return frontend_lines(self.report, frontend)
        if "/" in words[0]:
            return self.lines(*directory.server(words[0]))
        backend = directory.backend(words[0])
        if backend is None:
            if directory.frontend(words[0]) is not None:
                raise CommandError(
                    f"No such backend: that is a frontend, 'show why frontend {words[0]}'."
                )
            raise CommandError("No such backend.")
        return backend_lines(self.report, backend)

    def lines(self, proxy: Proxy, server: Server) -> Iterator[Piece]:
        """The chain, then each worker."""
        accounts: list[Account] = []
        observed = self.report.observer.server(proxy, server)
        if not server.asked_for and not observed.order:
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
        observed = self.report.observer.server(proxy, server)
        load = load_of(self.report, observed)
        yield from chain(observed, accounts, origin, now_ms(), load)
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
