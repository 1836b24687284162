"""What the words of `show|set|clear table` mean: keys, filters and values. Pure.

Owns their errors, in HAProxy's words.
"""

from __future__ import annotations

import operator
import re
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.control.command import CommandError
from shm.tables.entries import Entry
from shm.tables.shape import KeyType, Stored, TableData, TableShape, address_of_word

FILTERS_MAX = 4
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "le": operator.le,
    "ge": operator.ge,
    "lt": operator.lt,
    "gt": operator.gt,
}
_NAMES = {data.value: data for data in TableData}
_INTEGER = re.compile(r"\s*[+-]?[0-9]+")
_WIDE = (TableData.BYTES_IN_CNT, TableData.BYTES_OUT_CNT)
_UINT_MASK = (1 << 32) - 1
Values = dict[TableData, tuple[int | None, ...]]


class Filter(NamedTuple):
    """One condition on an entry: a type of data, by its place in the values, and a number."""

    place: int
    compare: Callable[[int, int], bool]
    value: int
    element: int

    def passes(self, entry: Entry) -> bool:
        """Whether the entry fulfils it; of an array the first element counts."""
        return self.compare(entry.values[self.place][self.element], self.value)


def _stored(word: str, shape: TableShape) -> Stored:
    """The type of data behind `data.`; CommandError."""
    name = word.removeprefix("data.")
    if name != "server_key" and name not in _NAMES:
        raise CommandError("Unknown data type")
    found = None if name == "server_key" else shape.find(_NAMES[name])
    if found is None:
        raise CommandError("Data type not stored in this table")
    return found


def parse_filters(words: Sequence[str], shape: TableShape) -> list[Filter]:
    """`data.<type> <operator> <value>`, up to four times; CommandError."""
    found = []
    for number, at in enumerate(range(0, len(words), 3), start=1):
        if number > FILTERS_MAX:
            raise CommandError(
                f"Detected extra data in filter, {at + 4}th word of input, after '{words[at - 1]}'"
            )
        try:
            data, compared, value, *_ = (*words[at : at + 3], "", "")
            if not data.startswith("data."):
                raise CommandError("Unknown data type")
            stored = _stored(data, shape)
            if compared not in _OPERATORS:
                known = '", "'.join(_OPERATORS)
                raise CommandError(f'Require and operator among "{known}"')
            if not _INTEGER.fullmatch(value):
                raise CommandError("Require a valid integer value to compare against")
        except CommandError as error:
            raise CommandError(f"Filter entry #{number}: {error}") from error
        element = int(stored.data is TableData.SERVER_ID)  # its id is behind its name
        place = shape.stored.index(stored)
        found.append(Filter(place, _OPERATORS[compared], int(value), element))
    return found


def parse_values(words: Sequence[str], shape: TableShape) -> Values:
    """`data.<type> <value>`, as often as wanted; CommandError."""
    found: Values = {}
    for at in range(0, len(words), 2):
        if not words[at].startswith("data."):
            raise CommandError('"data.<type>" followed by a value expected')
        named = words[at] == "data.server_key" and shape.find(TableData.SERVER_ID) is not None
        data = TableData.SERVER_ID if named else _stored(words[at], shape).data
        text = words[at + 1] if at + 1 < len(words) and not named else ""
        if not _INTEGER.fullmatch(text):
            raise CommandError("Require a valid integer value to store")
        if data is TableData.CONN_CUR:
            raise CommandError("'conn_cur' cannot be set: it is counted at the sessions themselves")
        value = int(text) & ((1 << 64) - 1 if data in _WIDE else _UINT_MASK)
        found[data] = (None, value) if data is TableData.SERVER_ID else (value,)
    return found


def parse_key(text: str, shape: TableShape, doing: str) -> bytes:
    """A key as the table has it; `doing` is `Showing` or the like; CommandError."""
    try:
        if shape.key is KeyType.IP:
            return socket.inet_pton(socket.AF_INET, text)
        if shape.key is KeyType.IPV6:
            return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        raise CommandError("Invalid key") from None
    if shape.key is KeyType.INTEGER:
        if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > _UINT_MASK:
            raise CommandError("Invalid key")
        return int(text).to_bytes(4, "little")
    if shape.key is KeyType.STRING:
        return text.encode(errors="surrogateescape")[: shape.key_bytes]
    raise CommandError(
        f"{doing} keys {'into' if doing == 'Inserting' else 'from'} tables of type other than ip, "
        "ipv6, string and integer is not supported"
    )


def key_text(key: bytes, shape: TableShape) -> str:
    """A key as it is shown."""
    if shape.key is KeyType.IP:
        return socket.inet_ntop(socket.AF_INET, key)
    if shape.key is KeyType.IPV6:
        return socket.inet_ntop(socket.AF_INET6, key)
    if shape.key is KeyType.INTEGER:
        return str(int.from_bytes(key, "little"))
    if shape.key is KeyType.BINARY:
        return key.hex().upper()
    return "".join(
        f"\\{chr(byte)}" if byte in b" \\=" else chr(byte) if 32 < byte < 127 else _escaped(byte)
        for byte in key.rstrip(b"\0")
    )


def _escaped(byte: int) -> str:
    return {9: "\\t", 10: "\\n", 13: "\\r", 27: "\\e"}.get(byte, f"\\x{byte:02x}")


def data_texts(entry: Entry, shape: TableShape, names: dict[int, str]) -> list[str]:
    """What an entry has, as `show table` says it; `names` of servers are by their hashes.

    Of a table that names addresses these are by their words.
    """
    texts: list[str] = []
    server_key = ""
    for stored, values in zip(shape.stored, entry.values, strict=True):
        data = stored.data
        if data.number > TableData.GPC1_RATE.number and server_key:
            texts.append(server_key)
            server_key = ""
        if data is TableData.SERVER_ID:
            word, number = values
            texts.append(f"server_id={number & _UINT_MASK}")
            named = address_of_word(word) if shape.by_address else None
            known = word if shape.by_address else word >> 24
            server_key = f"server_key={named or (names.get(known) if word else None) or '-'}"
            continue
        period = f"({stored.period_ms})" if data.is_rate else ""
        mask = (1 << 64) - 1 if data in _WIDE else _UINT_MASK
        for number, value in enumerate(values):
            texts.append(f"{_element(data, number)}{period}={value & mask}")
    return [*texts, server_key] if server_key else texts


def _element(data: TableData, number: int) -> str:
    if not data.is_array:
        return data.value
    name, low, suffix = data.value.partition("_")
    return f"{name}{number}{low}{suffix}"
