"""`stick-table` lines (manual section 4.2): the table of a section, its keys and what it stores."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.table import Statement
from proxy.config.rule_drafts import TableDraft
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from shm.tables.shape import (
    ARRAY_MAX,
    ENTRIES_MAX,
    KEY_BYTES_MAX,
    PERIOD_MS_MAX,
    KeyType,
    Stored,
    TableData,
    TableShape,
)

KEY_BYTES_DEFAULT = 32  # of string and binary
_KEY_BYTES = {KeyType.IP: 4, KeyType.IPV6: 16, KeyType.INTEGER: 4}
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_UNITS_US = {"us": 1, "ms": 10**3, "s": 10**6, "m": 6 * 10**7, "h": 36 * 10**8, "d": 864 * 10**8}
_ARRAYS = {  # what takes the place of what
    TableData.GPC: ((TableData.GPC0, TableData.GPC1), "gpc[0/1]"),
    TableData.GPT: ((TableData.GPT0,), "gpt0"),
    TableData.GPC_RATE: ((TableData.GPC0_RATE, TableData.GPC1_RATE), "gpc[0/1]_rate"),
}
_NAMES = {"server_key": TableData.SERVER_ID, **{data.value: data for data in TableData}}
_STORE = re.compile(r"([^(]*)(?:\((.*)\))?")


def stick_table(statement: Statement, draft: ProxyDraft) -> None:
    """One table a section, whose name it has."""
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'stick-table' is not supported in 'defaults' section.")
    if draft.table is not None:
        known = draft.table.origin
        raise ConfigError(
            f"stick-table name '{draft.name}' conflicts with table declared in {draft.title} at "
            f"{known.file}:{known.line}."
        )
    reader = _TableReader(statement, draft.name)
    draft.table = TableDraft(reader.shape(), statement.origin, reader.peers)


class _TableReader:
    """What one line has said so far."""

    def __init__(self, statement: Statement, name: str) -> None:
        self._statement = statement
        self._words = list(statement.arguments)
        self._name = name
        self.peers = ""
        self._key: KeyType | None = None
        self._key_bytes = 0
        self._entries = 0
        self._expire_ms = 0
        self._nopurge = False
        self._by_address = False
        self._stored: dict[TableData, Stored] = {}

    def shape(self) -> TableShape:
        """The table; ConfigError for a word that is wrong or missing."""
        actions = {
            "type": self._type,
            "size": self._size,
            "expire": self._expire,
            "nopurge": self._no_purge,
            "store": self._store,
            "srvkey": self._server_key,
            "peers": self._peers,
        }
        while self._words:
            word = self._words.pop(0)
            if word not in actions:
                found = hint(word, actions)
                raise ConfigError(f"stick-table: unknown argument '{word}'.{found}")
            actions[word]()
        if not self._entries:
            raise ConfigError("stick-table: missing size.")
        if self._key is None:
            raise ConfigError("stick-table: missing type.")
        self._check_arrays()
        return TableShape(
            name=self._name,
            key=self._key,
            key_bytes=self._key_bytes,
            entries=self._entries,
            expire_ms=self._expire_ms,
            nopurge=self._nopurge,
            stored=tuple(self._stored[data] for data in TableData if data in self._stored),
            by_address=self._by_address,
        )

    def _value(self, word: str) -> str:
        if not self._words:
            raise ConfigError(f"stick-table: missing argument after '{word}'.")
        return self._words.pop(0)

    def _type(self) -> None:
        word = self._words.pop(0) if self._words else ""
        known = {kind.value: kind for kind in KeyType}
        if word not in known:
            raise ConfigError(f"stick-table: unknown type '{word}'{hint(word, known) or '.'}")
        self._key = known[word]
        self._key_bytes = _KEY_BYTES.get(self._key, KEY_BYTES_DEFAULT)
        if self._key in (KeyType.STRING, KeyType.BINARY) and self._words[:1] == ["len"]:
            self._words.pop(0)
            length = self._words.pop(0) if self._words else ""
            if not length.isdecimal() or int(length) == 0:
                raise ConfigError(f"stick-table: unknown type '{length}'.")
            if int(length) > KEY_BYTES_MAX:
                raise ConfigError(
                    f"stick-table: a key of {length} bytes is too long (at most {KEY_BYTES_MAX})"
                )
            self._key_bytes = int(length)

    def _size(self) -> None:
        text = self._value("size")
        match = re.fullmatch(r"([0-9]*)([a-z]?)", text.lower())
        if match is None or match[2] not in _FACTORS or not match[1]:
            wrong = text.lstrip("0123456789")
            digits = len(text) - len(wrong)
            bad = wrong[1:2] if digits and wrong[:1].lower() in _FACTORS else wrong[:1]
            raise ConfigError(f"stick-table: unexpected character '{bad}' in argument of 'size'.")
        self._entries = int(match[1]) * _FACTORS[match[2]]
        if self._entries > ENTRIES_MAX:
            raise ConfigError(
                f"stick-table: unexpected character '{match[2] or match[1][-1]}' in argument of "
                f"'size': at most {ENTRIES_MAX} entries."
            )

    def _expire(self) -> None:
        text = self._value("expire")
        try:
            self._expire_ms = _milliseconds(text)
        except ValueError as error:
            raise ConfigError(
                f"stick-table: unexpected character '{error}' in argument of 'expire'."
            ) from None
        except OverflowError:
            raise ConfigError(
                f"stick-table: timer overflow in argument <{text}> to <expire>, maximum value is "
                f"{PERIOD_MS_MAX} ms (~24.8 days)."
            ) from None

    def _no_purge(self) -> None:
        self._nopurge = True

    def _server_key(self) -> None:
        word = self._words.pop(0) if self._words else ""
        if word not in ("name", "addr"):
            raise ConfigError(f"stick-table : unknown server key type '{word}'.")
        self._by_address = word == "addr"

    def _peers(self) -> None:
        self.peers = self._value("peers")

    def _store(self) -> None:
        for name, argument in _stores(self._words.pop(0) if self._words else ""):
            if name not in _NAMES:
                found = hint(name, _NAMES)
                raise ConfigError(f"stick-table: unknown store option '{name}'.{found}")
            data = _NAMES[name]
            if data in self._stored and name != "server_key":
                self._statement.warn(
                    f"stick-table: store option '{name}' already enabled, ignored."
                )
                continue
            self._stored[data] = _stored(name, data, argument)

    def _check_arrays(self) -> None:
        for array, (single, names) in _ARRAYS.items():
            if array in self._stored and any(each in self._stored for each in single):
                raise ConfigError(
                    f"stick-table: simultaneous usage of '{array.value}' and '{names}' in a same "
                    f"table is not permitted as '{array.value}' overrides '{names}'."
                )


def _stores(text: str) -> Iterator[tuple[str, str | None]]:
    """Names and arguments; a comma between parentheses divides nothing."""
    for word in re.findall(r"(?:^|(?<=,))[^,(]*(?:\([^)]*\))?", text):
        match = _STORE.fullmatch(word)
        yield (match[1], match[2]) if match else (word, None)


def _stored(name: str, data: TableData, argument: str | None) -> Stored:
    """One type of data with its argument: elements of an array, the period of a rate."""
    if not data.is_array and not data.is_rate:
        if argument is not None:
            raise ConfigError(f"stick-table: unexpected argument to store option '{name}'.")
        return Stored(data)
    if not argument:
        raise ConfigError(f"stick-table: missing argument to store option '{name}'.")
    elements, period = 1, argument
    if data.is_array:
        count, _, period = argument.partition(",")
        if not count.strip().isdecimal() or not 1 <= int(count) <= ARRAY_MAX:
            raise ConfigError(
                f"stick-table: array size is out of allowed range (1-{ARRAY_MAX}) for store option "
                f"'{name}'."
            )
        elements = int(count)
    if not data.is_rate:
        return Stored(data, elements)
    if not period.strip():
        raise ConfigError(f"stick-table: missing argument to store option '{name}'.")
    try:
        period_ms = _milliseconds(period.strip())
    except (ValueError, OverflowError):
        period_ms = 0
    if period_ms == 0:
        raise ConfigError(f"stick-table: error when processing store option '{name}'.")
    return Stored(data, elements, period_ms)


def _milliseconds(text: str) -> int:
    """A time, rounded up; ValueError of the character that is wrong, OverflowError."""
    match = re.fullmatch(r"([0-9]+)([a-z]*)", text)
    if match is None or (match[2] and match[2] not in _UNITS_US):
        raise ValueError(text.lstrip("0123456789")[:1])
    value = -(-int(match[1]) * _UNITS_US[match[2] or "ms"] // 1_000)
    if value > PERIOD_MS_MAX:
        raise OverflowError
    return value
