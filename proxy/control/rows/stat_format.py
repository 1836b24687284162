"""Rows as text: the CSV, typed and JSON forms of `show stat`. Pure.

CSV quotes a cell that holds a comma, a quote or a line end (RFC 4180, as HAProxy does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

import msgspec

from proxy.control.rows.stat_columns import COLUMNS, NATURES, ORIGINS, SCOPES, STAT_HEADER, Column
from proxy.control.rows.stat_rows import (
    PROCESS_NUMBER,
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_SERVER,
    Row,
)
from proxy.control.rows.stat_texts import TEXTS

KINDS = {TYPE_FRONTEND: "F", TYPE_BACKEND: "B", TYPE_SERVER: "S"}
OBJECTS = {TYPE_FRONTEND: "Frontend", TYPE_BACKEND: "Backend", TYPE_SERVER: "Server"}
# columns whose meaning, and so whose tag, depends on the kind of row
TAGS = {
    (TYPE_BACKEND, "rate"): "MGP",
    (TYPE_BACKEND, "rate_max"): "MGP",
    (TYPE_SERVER, "act"): "SGP",
    (TYPE_SERVER, "bck"): "SGP",
}


NAMES = tuple(column.name for column in COLUMNS)


class Format(Enum):
    """How rows are written."""

    CSV = "csv"
    TYPED = "typed"
    JSON = "json"


def cell(value: int | str) -> str:
    """One CSV cell."""
    if isinstance(value, int):
        return str(value)
    if any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def csv_lines(rows: Iterable[Row | None]) -> Iterator[str]:
    """Header and one line for each row."""
    yield STAT_HEADER
    for row in rows:
        if row is None:
            yield ""
            continue
        yield ",".join([cell(row[name]) if name in row else "" for name in NAMES]) + ",-,\n"


def tag_of(column: Column, kind: int) -> str:
    """Origin, nature and scope of a column in a kind of row."""
    return TAGS.get((kind, column.name), column.tag)


def typed_lines(rows: Iterable[Row | None], *, explain: bool = False) -> Iterator[str]:
    """One line for each value, with what its column means in quotes where it is asked for."""
    for row in rows:
        if row is None:
            yield ""
            continue
        kind = int(row["type"])
        where = f"{KINDS[kind]}.{row['iid']}.{row['sid']}"
        for column in COLUMNS:
            if column.name in row:
                text = f':"{TEXTS[column.name]}"' if explain else ""
                yield (
                    f"{where}.{column.position}.{column.name}.{PROCESS_NUMBER}:"
                    f"{tag_of(column, kind)}:{column.type}:{row[column.name]}{text}\n"
                )


def tags_object(tag: str) -> dict[str, str]:
    """The three letters of a tag, spelled out."""
    return {"origin": ORIGINS[tag[0]], "nature": NATURES[tag[1]], "scope": SCOPES[tag[2]]}


def _json_value(value: str | int) -> str | int:
    """Text in UTF-8, which JSON has to be (RFC 8259, section 8.1), whatever a server said."""
    if isinstance(value, int) or value.isascii():
        return value
    return value.encode(errors="surrogateescape").decode(errors="replace")


def json_row(row: Row) -> bytes:
    """One row as a JSON array of fields."""
    kind = int(row["type"])
    fields = [
        {
            "objType": OBJECTS[kind],
            "proxyId": row["iid"],
            "id": row["sid"],
            "field": {"pos": column.position, "name": column.name},
            "processNum": PROCESS_NUMBER,
            "tags": tags_object(tag_of(column, kind)),
            "value": {"type": column.type, "value": _json_value(row[column.name])},
        }
        for column in COLUMNS
        if column.name in row
    ]
    return msgspec.json.encode(fields)


def json_lines(rows: Iterable[Row | None]) -> Iterator[str]:
    """One JSON array of rows."""
    separator = "["
    for row in rows:
        if row is None:
            yield ""
            continue
        yield separator + json_row(row).decode()
        separator = ","
    yield "[]\n" if separator == "[" else "]\n"


def render(rows: Iterable[Row | None], form: Format, *, explain: bool = False) -> Iterator[str]:
    """Rows in one of the three forms; an empty piece for None, a look without a row.

    `explain` says what columns mean, in the typed form, which alone has room for it.
    """
    if form is Format.TYPED:
        return typed_lines(rows, explain=explain)
    return csv_lines(rows) if form is Format.CSV else json_lines(rows)
