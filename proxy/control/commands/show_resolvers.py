"""`show resolvers` and the resolvers domain of `show stat` (management manual 9.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.rows.report import Report
from proxy.control.rows.stat_columns import RESOLVER_COLUMNS, RESOLVER_COUNTERS, RESOLVER_HEADER
from proxy.control.rows.stat_format import Format, cell, tags_object
from proxy.control.rows.stat_rows import PROCESS_NUMBER
from resolverd.config import ResolversSection

Row: TypeAlias = dict[str, int | str]
OWN_COUNTERS = ("unusable", "doubted")  # that HAProxy has not: resolution_records.pxd explains them
NAME_COLUMN = 15  # where a value begins, counted from 1 after two blanks


Counted: TypeAlias = list[tuple[str, dict[str, int]]]  # nameserver and its counters


def section_lines(section: ResolversSection, counters: Counted) -> Iterator[str]:
    """One section: a line for it, one for each nameserver, one for each counter."""
    yield f"Resolvers section {section.name}\n"
    for name, counted in counters:
        yield f" nameserver {name}:\n"
        for counter in (*RESOLVER_COUNTERS, *OWN_COUNTERS):
            yield f"  {counter + ':':<{NAME_COLUMN - 2}}{counted[counter]}\n"


def typed_lines(rows: Iterable[Row]) -> Iterator[str]:
    """One line for each value."""
    for row in rows:
        for column in RESOLVER_COLUMNS:
            value = row[column.name]
            yield f"N.{column.position}.{column.name}:{column.tag}:{column.type}:{value}\n"


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Header and one line for each row."""
    yield RESOLVER_HEADER
    for row in rows:
        yield "".join(cell(row[column.name]) + "," for column in RESOLVER_COLUMNS) + "\n"


def json_text(rows: Iterable[Row]) -> str:
    """One JSON array of rows."""
    table = [
        [
            {
                "field": {"pos": column.position, "name": column.name},
                "processNum": PROCESS_NUMBER,
                "tags": tags_object(column.tag),
                "value": {"type": column.type, "value": row[column.name]},
            }
            for column in RESOLVER_COLUMNS
        ]
        for row in rows
    ]
    return msgspec.json.encode(table).decode() + "\n"


class ShowResolvers:
    """The family of commands about nameservers."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.sections = report.settings.resolverd.sections

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "resolvers"),
                "[<id>]",
                "counters of the nameservers of all sections, or of one",
                Level.USER,
                self.show,
            )
        ]

    def counters(self, section: ResolversSection) -> Counted:
        """Each nameserver that a section asks now, with its counters."""
        reader = self.report.monitor.counters
        return [
            (nameserver.name, reader.nameserver(nameserver.index))
            for nameserver in self.report.nameservers(section)
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show resolvers [<id>]`."""
        chosen = self.sections
        if words:
            chosen = tuple(section for section in self.sections if section.name == words[0])
            if not chosen:
                raise CommandError("Can't find that resolvers section")
        if not chosen:
            raise CommandError("No resolvers found")
        return (line for part in chosen for line in section_lines(part, self.counters(part)))

    def rows(self) -> Iterator[Row]:
        """One row for each nameserver: `id` is its name, `pid` the section's."""
        for section in self.sections:
            for nameserver, counted in self.counters(section):
                row: Row = {"id": nameserver, "pid": section.name}
                for name in RESOLVER_COUNTERS:
                    row["send_error" if name == "snd_error" else name] = counted[name]
                yield row

    def stat(self, form: Format) -> Answer:
        """`show stat domain resolvers`."""
        if form is Format.JSON:
            return [json_text(self.rows())]
        return typed_lines(self.rows()) if form is Format.TYPED else csv_lines(self.rows())
