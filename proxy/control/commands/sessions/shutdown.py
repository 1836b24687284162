"""`shutdown session <id>`, `shutdown sessions server <b>/<s>`: sessions that an operator ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.sessions.generations import Sessions, asked_workers
from proxy.control.commands.sessions.identity import SessionId, parse_id
from proxy.control.commands.sessions.questions import GONE, Ending, Wanted
from proxy.control.commands.sessions.words import NamedSection

NO_SUCH_SESSION = "No such session (use 'show sess')."
HEXADECIMAL = re.compile("(0x)?[0-9a-f]+", re.IGNORECASE)


class Shutdown:
    """Two commands, for administrators."""

    def __init__(self, generations: Sessions) -> None:
        self.generations = generations

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("shutdown", "session"),
                "<id>",
                "end a session",
                Level.ADMIN,
                self.session,
            ),
            Command(
                ("shutdown", "sessions", "server"),
                "<bk>/<srv>",
                "end the sessions of a server",
                Level.ADMIN,
                self.sessions,
            ),
        ]

    def session(self, words: list[str], _level: Level) -> Answer:
        """`shutdown session <id>`; raises CommandError for one that is not there."""
        if not words or not HEXADECIMAL.fullmatch(words[0]):
            raise CommandError("Session pointer expected (use 'show sess').")
        one = parse_id(words[0])
        if one is None:
            raise CommandError(NO_SUCH_SESSION)
        return self.ended(Wanted(place=one.place, started_ms=one.started_ms), None, one)

    def sessions(self, words: list[str], _level: Level) -> Answer:
        """`shutdown sessions server <b>/<s>`; raises CommandError for no such server."""
        return self.ended(Wanted(), NamedSection("server", words[0] if words else ""), None)

    def ended(
        self, wanted: Wanted, section: NamedSection | None, one: SessionId | None
    ) -> Iterator[Piece]:
        """End the sessions; workers that do not answer are named."""
        count, silent = 0, []
        with self.generations.asked(wanted, section, one) as asked:
            for generation, narrowed in asked:
                for worker in asked_workers(generation, one):
                    ending = Ending(generation.relays, worker, narrowed)
                    yield ending
                    count += ending.ended
                    if ending.missed == GONE:
                        count += 1  # what it had has ended with it
                    elif ending.missed:
                        silent.append(generation.worker_text(worker))
        for text in silent:
            yield f"W{text[1:]} does not answer; please try again.\n"
        if one is not None and not count and not silent:
            raise CommandError(NO_SUCH_SESSION)
