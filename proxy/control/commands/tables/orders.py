"""`show table`, `set table`, `clear table`: what stick tables know, and changes of it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.commands.tables.words import (
    Filter,
    data_texts,
    key_text,
    parse_filters,
    parse_key,
    parse_values,
)
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from shm.tables.entries import Entry, Removal, TableEditor, TableReader
from shm.tables.shape import CONTROL_WRITER, address_word, server_hash

_SET_USAGE = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*"
_CLEAR_USAGE = (
    'Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>'
)
_NO_PRIVILEGE = "# contents not dumped due to insufficient privileges\n"
_SHOW_USAGE = (
    'Optional argument only supports "data.<store_data_type>" <operator> <value> and key <key>'
)


class Tables:
    """Three commands; keys and changes are for operators."""

    def __init__(self, report: Report) -> None:
        self._report = report
        runtime = report.runtime
        self._readers = {table.shape.name: TableReader(table) for table in runtime.tables}
        self._names: dict[int, str] = {}  # by hash; made when it is needed first
        self._named = -1  # the table's revision by then

    def commands(self) -> list[Command]:
        """What this family answers to."""
        described = "[<filter>|key <key>]"
        return [
            Command(
                ("show", "table"),
                f"[<table> {described}]",
                "stick tables, or the entries of one",
                Level.USER,
                self.show,
            ),
            Command(
                ("set", "table"),
                "<table> key <key> [data.<type> <value>]*",
                "make or change an entry of a stick table",
                Level.OPERATOR,
                self.set,
            ),
            Command(
                ("clear", "table"),
                f"<table> {described}",
                "remove entries of a stick table",
                Level.OPERATOR,
                self.clear,
            ),
        ]

    def _reader(self, name: str) -> TableReader:
        if name not in self._readers:
            raise CommandError("No such table")
        return self._readers[name]

    def show(self, words: list[str], level: Level) -> Answer:
        """`show table [<table> [data.<type> <operator> <value>]* | [key <key>]]`."""
        if not words:
            return self._heads()
        reader = self._reader(words[0])
        shape = reader.owner.shape
        if words[1:2] == ["key"]:
            if level < Level.OPERATOR:
                raise CommandError("Permission denied")
            entry = reader.find(self._key(words, reader, "Showing"), now_ms())
            return [] if entry is None else self._rows(reader, [entry])
        if len(words) > 1 and not words[1].startswith("data."):
            raise CommandError(_SHOW_USAGE)
        filters = parse_filters(words[1:], shape)
        if level < Level.OPERATOR:
            return chain(self._head(reader), [_NO_PRIVILEGE])
        return self._rows(reader, None, filters)

    def set(self, words: list[str], _level: Level) -> Answer:
        """`set table <table> key <key> [data.<type> <value>]*`."""
        if not words:
            raise CommandError(_SET_USAGE)
        reader = self._reader(words[0])
        if len(words) == 1:
            return []
        if words[1] != "key":
            raise CommandError(_SET_USAGE)
        key = self._key(words, reader, "Inserting")
        values = parse_values(words[3:], reader.owner.shape)
        if not TableEditor(reader.owner, CONTROL_WRITER).update(key, values, now_ms()):
            raise CommandError("Unable to allocate a new entry")
        return []

    def clear(self, words: list[str], _level: Level) -> Answer:
        """`clear table <table> [[data.<type> <operator> <value>]* | key <key>]`."""
        if not words:
            raise CommandError(_CLEAR_USAGE)
        reader = self._reader(words[0])
        if words[1:2] == ["key"]:
            key = self._key(words, reader, "Removing")
            editor = TableEditor(reader.owner, CONTROL_WRITER)
            if editor.remove(key, now_ms()) is Removal.IN_USE:
                raise CommandError("Entry currently in use, cannot remove")
            return []
        if len(words) > 1 and not words[1].startswith("data."):
            raise CommandError(_CLEAR_USAGE)
        return self._clear(reader, parse_filters(words[1:], reader.owner.shape))

    @staticmethod
    def _key(words: list[str], reader: TableReader, doing: str) -> bytes:
        if len(words) < 3:
            raise CommandError("Key value expected")
        return parse_key(words[2], reader.owner.shape, doing)

    def _heads(self) -> Iterator[str]:
        for reader in reversed(self._readers.values()):
            yield from self._head(reader)

    @staticmethod
    def _head(reader: TableReader) -> Iterator[str]:
        """The line about a table, after looking at all of it."""
        used = 0
        for entries in reader.used(now_ms()):
            used += entries
            yield ""
        shape = reader.owner.shape
        yield (
            f"# table: {shape.name}, type: {shape.key.value}, size:{shape.entries}, used:{used}\n"
        )

    def _rows(
        self, reader: TableReader, entries: list[Entry] | None, filters: list[Filter] | None = None
    ) -> Iterator[str]:
        yield from self._head(reader)
        for page in reader.pages(now_ms()) if entries is None else (entries,):
            names = self._names_for(reader)
            yield "".join(
                self._row(entry, reader, names)
                for entry in page
                if all(each.passes(entry) for each in filters or ())
            )

    def _names_for(self, reader: TableReader) -> dict[int, str]:
        """What servers are called in a table, by what entries have of them."""
        if reader.owner.shape.by_address:
            return self._addresses()
        report = self._report
        servers = report.servers
        if self._named != servers.revision:
            self._names = {server_hash(server.name) >> 24: server.name for server in servers}
            self._named = servers.revision
        return self._names

    def _addresses(self) -> dict[int, str]:
        """Present addresses of IPv6, by their words; those of IPv4 are in the words."""
        found = {}
        report = self._report
        servers = report.servers
        for proxy in servers.backends:
            for server in servers.of(proxy):
                state = report.observer.server(proxy, server).state
                if state.address is not None and ":" in state.address:
                    word = address_word(state.address, state.port)
                    found[word] = f"{state.address}:{state.port}"
        return found

    @staticmethod
    def _row(entry: Entry, reader: TableReader, names: dict[int, str]) -> str:
        shape = reader.owner.shape
        texts = data_texts(entry, shape, names)
        first = (
            f"0x{entry.cell:x}: key={key_text(entry.key, shape)} use={entry.sessions} "
            f"exp={entry.left_ms}"
        )
        return " ".join((first, *texts)) + "\n"

    @staticmethod
    def _clear(reader: TableReader, filters: list[Filter]) -> Iterator[str]:
        """What a session holds stays."""
        editor = TableEditor(reader.owner, CONTROL_WRITER)
        for page in reader.pages(now_ms()):
            for entry in page:
                if all(each.passes(entry) for each in filters):
                    editor.remove(entry.key, now_ms())
            yield ""
