"""`show sess`: the sessions of all workers of all generations (management manual 9.3)."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.sessions.generations import Sessions, SessionsOf, asked_workers
from proxy.control.commands.sessions.identity import SessionId
from proxy.control.commands.sessions.questions import Listing
from proxy.control.commands.sessions.texts import line, paragraph
from proxy.control.commands.sessions.words import (
    HELP,
    USAGE,
    SessionQuery,
    is_suspicious,
    parse_query,
)
from proxy.control.limits import DUMPS_MAX
from proxy.runtime import now_ms
from shm.dumps import sessions_of


class ShowSess:
    """One command, for operators: addresses of clients are theirs to see."""

    def __init__(self, generations: Sessions) -> None:
        self.generations = generations
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
        """`show sess [<id>|all|help] [backend|frontend|server <name>] [older <age>] [susp]`."""
        if words == ["help"]:
            return [f"{USAGE}\n", HELP]
        return self.sessions(parse_query(words, now_ms()))

    def sessions(self, query: SessionQuery) -> Iterator[Piece]:
        """The answer, generation by generation, the running one first."""
        if self.reading >= DUMPS_MAX:
            raise CommandError(f"{DUMPS_MAX} lists are being read already; please try again.")
        self.reading += 1
        try:
            with self.generations.asked(query.wanted, query.section, query.one) as asked:
                complete = True
                shown = 0
                for generation, wanted in asked:
                    for worker in asked_workers(generation, query.one):
                        listing = Listing(generation.relays, worker, wanted)
                        yield listing
                        for told in found(generation, worker, listing.pages, query):
                            shown += bool(told)
                            yield told
                        if listing.missed:
                            complete = False
                            yield absence(generation, worker, listing.missed)
                if query.one is not None and complete and not shown:
                    yield "Session not found.\n"
        finally:
            self.reading -= 1


def found(
    generation: SessionsOf, worker: int, pages: list[bytes], query: SessionQuery
) -> Iterator[str]:
    """What matches in the pages of one worker, session by session."""
    pid = generation.relays.pid(worker)
    for page in pages:
        for session in sessions_of(page):
            now = now_ms()
            if query.suspicious and not is_suspicious(session, now):
                yield ""
                continue
            identity = SessionId(generation.number, worker, session.started_ms, session.place)
            if query.full:
                told = paragraph(session, identity, generation.names, now, pid)
                yield "".join(told)
            else:
                yield line(session, identity, generation.names, now)


def absence(generation: SessionsOf, worker: int, why: str) -> str:
    """That a worker gives no answer."""
    return f"# {generation.worker_text(worker)} {why}; its sessions are not shown\n"
