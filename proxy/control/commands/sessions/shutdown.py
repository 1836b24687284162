"""`shutdown session <id>`, `shutdown sessions server <b>/<s>`: sessions that an operator ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.sessions.identity import parse_id
from proxy.control.commands.sessions.questions import Ending, Relays, Wanted
from proxy.control.rows.report import Report

HEXADECIMAL = re.compile("(0x)?[0-9a-f]+", re.IGNORECASE)


class Shutdown:
    """Two commands, for administrators."""

    def __init__(self, report: Report, relays: Relays) -> None:
        self.report = report
        self.relays = relays

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
        generation = self.report.runtime.segment.reload_generation & 0xFF
        if one is None or one.generation != generation or one.worker >= self.relays.workers:
            raise CommandError("No such session (use 'show sess').")
        return self.ended(
            Wanted(place=one.place, started_ms=one.started_ms),
            range(one.worker, one.worker + 1),
            "No such session (use 'show sess').",
        )

    def sessions(self, words: list[str], _level: Level) -> Answer:
        """`shutdown sessions server <b>/<s>`; raises CommandError for no such server."""
        _, server = self.report.directory.server(words[0] if words else "")
        return self.ended(Wanted(slot=server.slot), range(self.relays.workers), "")

    def ended(self, wanted: Wanted, workers: range, nothing: str) -> Iterator[Piece]:
        """End the sessions; workers that do not answer are named, `nothing` tells of none."""
        count, silent = 0, []
        for worker in workers:
            if not self.relays.lives(worker):
                continue
            ending = Ending(self.relays, worker, wanted)
            yield ending
            if ending.ended is None:
                silent.append(worker)
            else:
                count += ending.ended
        for worker in silent:
            pid = self.report.monitor.board.status(worker).pid
            yield f"Worker {worker} (process {pid or 'none'}) does not answer; please try again.\n"
        if nothing and not count and not silent:
            raise CommandError(nothing)
