"""The stick tables that expressions name, when all sections are known: names to numbers.

Owns the errors about tables that there are not, in HAProxy's words, and about expressions of
places that have no tables.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from proxy.config.model.rules import Converter, Format, TableName, Value
from proxy.config.text.messages import ConfigError
from shm.tables.shape import TableShape


class UnknownTableError(ConfigError):
    """An expression names a table that there is not; it says all that there is to say."""


class TableIndex(Protocol):
    """Where the tables are."""

    def table(self, name: str) -> tuple[int, TableShape] | None:
        """The number of a stick table, and what it is."""


class TableLinker:
    """Links the expressions of one section."""

    def __init__(self, directory: TableIndex, section: str, keyword: str, rule: str = "") -> None:
        """`keyword` is how HAProxy calls a fetch there, `rule` the kind of the rule."""
        self._directory = directory
        self._section = section
        self._keyword = keyword
        self._rule = f" in {rule}" if rule else ""

    def number(self, table: TableName, fetch: str = "") -> int:
        """The number of a table; ConfigError for one that there is not."""
        name = table.name or self._section
        found = self._directory.table(name)
        if found is None:
            asking = f"{self._keyword} '{table.word}'"
            if fetch:
                asking = f"conversion keyword '{table.word}' for {self._keyword} '{fetch}'"
            raise UnknownTableError(
                f"unable to find table '{name}' referenced in arg {table.position} of {asking}"
                f"{self._rule} in proxy '{self._section}'."
            )
        return found[0]

    def converters(self, converters: tuple[Converter, ...], fetch: str) -> tuple[Converter, ...]:
        """Those behind a fetch, with all numbers; ConfigError."""
        return tuple(self._converter(each, fetch) for each in converters)

    def numbers(self, numbers: tuple[int, ...], table: TableName | None) -> tuple[int, ...]:
        """The arguments of a fetch that asks an entry; ConfigError."""
        return numbers if table is None else (numbers[0], self.number(table), *numbers[2:])

    def value(self, value: Value) -> Value:
        """A value with the numbers of all its tables; ConfigError."""
        return msgspec.structs.replace(
            value,
            numbers=self.numbers(value.numbers, value.table),
            table=None,
            converters=self.converters(value.converters, ""),
        )

    def format(self, form: Format) -> Format:
        """A format with the numbers of all its tables; ConfigError."""
        return tuple(
            part
            if part.value is None
            else msgspec.structs.replace(part, value=self.value(part.value))
            for part in form
        )

    def _converter(self, converter: Converter, fetch: str) -> Converter:
        table = converter.table
        if table is None:
            return converter
        number = self.number(table, fetch or table.fetch)
        return msgspec.structs.replace(
            converter, table=None, numbers=(number, *converter.numbers[1:])
        )


def refuse_tables(converters: tuple[Converter, ...]) -> None:
    """ConfigError for a converter that asks a table where there are none."""
    for converter in converters:
        if converter.table is not None:
            raise ConfigError(
                f"'{converter.table.word}' is not supported here: stick tables are asked by rules "
                "of connections (tcp-request, tcp-response, use_backend, use-server, stick)"
            )
