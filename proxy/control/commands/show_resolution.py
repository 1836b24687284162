"""`show resolution [json] [<name>]`: what resolverd knows of each name, and why.

Asks resolverd through the mailbox, page by page. While it gives no answer, the list is what the
segment says, and every line of it says so (`live` 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.mail import Mail
from proxy.control.commands.resolution import (
    HEADER,
    ago,
    head_lines,
    record_line,
    server_line,
    summary_line,
)
from proxy.control.rows.report import Report
from proxy.control.rows.resolution_record import summary_of
from proxy.runtime import now_ms
from resolverd.config import ResolutionSettings
from resolverd.records.schema import Account, Summary
from shm.mailbox import TEXT_BYTES


class ShowResolution:
    """The family of commands about names in DNS."""

    def __init__(self, report: Report, mail: Mail) -> None:
        self.report = report
        self.mail = mail

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "resolution"),
                "[json] [<name>]",
                "what DNS says: a line for each name, or all about one",
                Level.USER,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show resolution [json] [<name>]`."""
        as_json = words[:1] == ["json"]
        names = words[1:] if as_json else words
        if not names:
            return array(self.summaries()) if as_json else self.lines()
        name = names[0].lower().removesuffix(".")
        if len(name.encode()) > TEXT_BYTES:
            raise CommandError("No such name.")
        return array(self.accounts(name)) if as_json else self.paragraphs(name)

    def summaries(self) -> Iterator[Piece | Summary]:
        """One for each name, of resolverd or of the segment; pauses in between."""
        cursor = 0
        while cursor >= 0:
            inquiry = self.mail.names(cursor)
            yield inquiry
            page = inquiry.page(Summary)
            if page is None:
                names = self.report.names()
                yield from (self.recorded(each) for each in names if each.index >= cursor)
                return
            yield from page.rows
            cursor = page.cursor

    def accounts(self, name: str) -> Iterator[Piece | Account]:
        """Parts of one account after the other; of the segment, the summary alone."""
        cursor, found = 0, False
        while cursor >= 0:
            inquiry = self.mail.name(name, cursor)
            yield inquiry
            page = inquiry.page(Account)
            if page is None:
                for each in self.report.names():
                    if each.name == name and not found:
                        yield Account(self.recorded(each), None, name, None, [])
                return
            yield from page.rows
            found = found or bool(page.rows)
            cursor = page.cursor

    def lines(self) -> Iterator[Piece]:
        """The list in columns."""
        yield HEADER
        for each in self.summaries():
            yield summary_line(each) if isinstance(each, Summary) else each

    def paragraphs(self, name: str) -> Iterator[Piece]:
        """All names that are called so, each in full."""
        shown = -1
        for account in self.accounts(name):
            if not isinstance(account, Account):
                yield account
                continue
            if not account.summary.live:
                yield self.absence()
            if account.summary.key != shown:
                shown = account.summary.key
                yield from head_lines(account)
            yield from map(record_line, account.records)
            yield from map(server_line, account.servers)
        if shown < 0:
            yield "No such name.\n"

    def absence(self) -> str:
        """That resolverd does not answer, and since when."""
        status = self.report.monitor.board.status(
            self.report.runtime.segment.shape.resolverd_process
        )
        age_ms = now_ms() - status.main_beat_ms if status.main_beat_ms else None
        return (
            f"resolverd does not answer (process {status.pid or 'none'}, heartbeat {ago(age_ms)}); "
            "this is what its records say:\n"
        )

    def recorded(self, settings: ResolutionSettings) -> Summary:
        """What the segment says of a name."""
        resolverd = self.report.settings.resolverd
        record = self.report.monitor.counters.resolution(settings.index)
        holds = next(each.holds for each in resolverd.sections if each.name == settings.section)
        summary = summary_of(settings, record, holds, resolverd.families, now_ms())
        if settings.index < len(resolverd.resolutions):
            return summary
        return msgspec.structs.replace(summary, origin="added server")


def array(parts: Iterable[Piece | Summary | Account]) -> Iterator[Piece]:
    """One JSON array, an object a line; an account in parts is one object each part."""
    separator = "["
    for part in parts:
        if isinstance(part, Summary | Account):
            yield separator + msgspec.json.encode(part).decode()
            separator = ",\n"
        else:
            yield part
    yield "]\n" if separator != "[" else "[]\n"
