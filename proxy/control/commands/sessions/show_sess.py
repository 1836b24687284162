"""`show sess`: the sessions of all workers (management manual 9.3)."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.sessions.identity import SessionId
from proxy.control.commands.sessions.questions import Listing, Relays
from proxy.control.commands.sessions.texts import SessionNames, line, paragraph
from proxy.control.commands.sessions.words import HELP, USAGE, SessionQuery, parse_query
from proxy.control.limits import DUMPS_MAX
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from shm.dumps import DumpedSession, sessions_of


class ShowSess:
    """One command, for operators: addresses of clients are theirs to see."""

    def __init__(self, report: Report, relays: Relays) -> None:
        self.report = report
        self.relays = relays
        self.names = SessionNames.of(report.settings, report.servers)
        self.reading = 0  # lists

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "sess"),
                "[<id>|all|help] [<filter>]*",
                "sessions, or all that is known of one",
                Level.OPERATOR,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show sess [<id>|all|help] [backend|frontend|server <name>] [older <age>]`."""
        if words == ["help"]:
            return [f"{USAGE}\n", HELP]
        return self.sessions(parse_query(words, self.report.directory, now_ms()))

    def sessions(self, query: SessionQuery) -> Iterator[Piece]:
        """The answer, worker by worker."""
        if self.reading >= DUMPS_MAX:
            raise CommandError(f"{DUMPS_MAX} lists are being read already; please try again.")
        self.reading += 1
        try:
            yield from self.found(query)
        finally:
            self.reading -= 1

    def found(self, query: SessionQuery) -> Iterator[Piece]:
        """What matches, and workers that do not answer."""
        generation = self.report.runtime.segment.reload_generation
        shown = 0
        silent = False
        for worker in self.asked(query):
            if not self.relays.lives(worker):
                continue
            listing = Listing(self.relays, worker, query.wanted)
            yield listing
            if listing.pages is None:
                silent = True
                yield self.absence(worker)
                continue
            for page in listing.pages:
                for session in sessions_of(page):
                    shown += 1
                    identity = SessionId(generation, worker, session.started_ms, session.place)
                    yield from self.told(session, identity, full=query.full)
        if query.one is not None and not shown and not silent:
            yield "Session not found.\n"

    def asked(self, query: SessionQuery) -> range:
        """The workers that may have such sessions."""
        if query.one is None:
            return range(self.relays.workers)
        generation = self.report.runtime.segment.reload_generation & 0xFF
        if query.one.generation != generation or query.one.worker >= self.relays.workers:
            return range(0)
        return range(query.one.worker, query.one.worker + 1)

    def told(self, session: DumpedSession, identity: SessionId, *, full: bool) -> Iterator[Piece]:
        """One session."""
        if full:
            pid = self.report.monitor.board.status(identity.worker).pid
            yield "".join(paragraph(session, identity, self.names, now_ms(), pid))
        else:
            yield line(session, identity, self.names, now_ms())

    def absence(self, worker: int) -> str:
        """That a worker does not answer."""
        pid = self.report.monitor.board.status(worker).pid
        return (
            f"# worker {worker} (process {pid or 'none'}) does not answer; its sessions are not "
            "shown\n"
        )
