"""Fetches and converters that ask stick tables (manual sections 7.3.1 and 7.3.3): names, arguments.

Owns which there are, what of an entry each is about, and HAProxy's errors about their arguments.
Which tables there are is not known yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from proxy.config.model.rules import TableName
from proxy.config.text.messages import ConfigError
from shm.tables.shape import ELEMENT_BITS, TableData, data_number

TRACKED = ("0", "1", "2")  # entries that a session may follow
OF_SOURCE = len(TRACKED)  # in their place: the entry of the client's address
OF_NOTHING = -1
OWN_TABLE = -1  # that of the entry which is followed
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class EntryWord(NamedTuple):
    """One word: the name is that of proxy/rules/program.pyx."""

    name: str
    data: TableData = TableData.CONN_CUR
    indexed: bool = False  # the element is the first argument


class EntryQuestion(NamedTuple):
    """What the arguments of a word say."""

    element: int
    place: int  # which followed entry, or OF_SOURCE
    table: TableName | None  # None: that of the entry


_SINGLE = (
    *(TableData.CONN_CNT, TableData.CONN_CUR, TableData.CONN_RATE),
    *(TableData.SESS_CNT, TableData.SESS_RATE, TableData.BYTES_IN_RATE, TableData.BYTES_OUT_RATE),
    *(TableData.GPC0_RATE, TableData.GPC1_RATE, TableData.HTTP_REQ_CNT, TableData.HTTP_REQ_RATE),
    *(TableData.HTTP_ERR_CNT, TableData.HTTP_ERR_RATE),
    *(TableData.HTTP_FAIL_CNT, TableData.HTTP_FAIL_RATE),
)
_COUNTERS = {"gpc0": TableData.GPC0, "gpc1": TableData.GPC1, "gpc": TableData.GPC}
_READ = {
    **{data.value: EntryWord("entry_value", data) for data in _SINGLE},
    "kbytes_in": EntryWord("entry_kilobytes", TableData.BYTES_IN_CNT),
    "kbytes_out": EntryWord("entry_kilobytes", TableData.BYTES_OUT_CNT),
    "gpc_rate": EntryWord("entry_value", TableData.GPC_RATE, indexed=True),
}
_GENERAL = {
    **{
        name: EntryWord("entry_value", data, indexed=data is TableData.GPC)
        for name, data in _COUNTERS.items()
    },
    "gpt0": EntryWord("entry_value", TableData.GPT0),
    "gpt": EntryWord("entry_value", TableData.GPT, indexed=True),
}
_ASKED = {
    **_READ,
    **{f"get_{name}": word for name, word in _GENERAL.items()},
    **{
        f"{before}_{name}": EntryWord(action, data, indexed=data is TableData.GPC)
        for before, action in (("inc", "entry_count"), ("clr", "entry_clear"))
        for name, data in _COUNTERS.items()
    },
}
_FOLLOWED = {
    **_ASKED,
    "tracked": EntryWord("entry_tracked"),
    "trackers": EntryWord("entry_trackers"),
}
_OF_SOURCE = {**_ASKED, "updt_conn_cnt": EntryWord("entry_connection", TableData.CONN_CNT)}
ENTRY_FETCHES: dict[str, EntryWord] = {
    **{f"sc_{name}": word for name, word in _FOLLOWED.items()},
    **{
        f"sc{place}_{name}": word
        for place in TRACKED
        for name, word in _FOLLOWED.items()
        if not word.indexed
    },
    **{f"src_{name}": word for name, word in _OF_SOURCE.items()},
}
_WITH_DEFAULT = ("table_expire", "table_idle")  # behind the table: what is said without an entry
TABLE_CONVERTERS: dict[str, EntryWord] = {
    "in_table": EntryWord("in_table"),
    "table_trackers": EntryWord("entry_trackers"),
    "table_server_id": EntryWord("entry_value", TableData.SERVER_ID),
    **{name: EntryWord(name) for name in _WITH_DEFAULT},
    **{f"table_{name}": word for name, word in {**_READ, **_GENERAL}.items()},
}


class _Arguments:
    """The arguments of one word, taken from the left."""

    def __init__(
        self, words: tuple[str, ...], least: int, wrong: Callable[[int, str], ConfigError]
    ) -> None:
        self._words = words
        self._least = least
        self._wrong = wrong
        self._taken = 0

    @property
    def position(self) -> int:
        """The number of the last one that was taken."""
        return self._taken

    def integer(self) -> int:
        word = self._next("integer")
        if not word:
            raise self._wrong(
                self._taken, f"expected type 'integer' at position {self._taken}, but got nothing"
            )
        if not _INTEGER.fullmatch(word):
            raise self._wrong(
                self._taken, f"failed to parse '{word}' as type 'integer' at position {self._taken}"
            )
        return int(word)

    def table(self) -> str | None:
        """The name, "" for an empty one; None: there is none, and none is needed."""
        if self._taken >= self._least and self._taken >= len(self._words):
            self._taken += 1
            return None
        return self._next("table")

    def end(self) -> None:
        rest = self._words[self._taken :]
        if rest:
            raise self._wrong(self._taken + 1, f"expected ')' before ',{','.join(rest)})'")

    def _next(self, wanted: str) -> str:
        self._taken += 1
        if self._taken <= len(self._words):
            return self._words[self._taken - 1]
        if self._taken == 1:
            return ""
        raise self._wrong(
            self._taken,
            f"missing arguments (got {self._taken - 1}/{self._least}), type '{wanted}' expected",
        )


def entry_asked(name: str, words: tuple[str, ...]) -> EntryQuestion:
    """What a fetch asks; ConfigError."""
    word = ENTRY_FETCHES[name]
    followed = name.startswith("sc_")
    source = name.startswith("src_")

    def wrong(_: int, text: str) -> ConfigError:
        return ConfigError(f"fetch method '{name}' : {text}")

    reader = _Arguments(words, word.indexed + (followed or (source and word.indexed)), wrong)
    element = reader.integer() if word.indexed else 0
    place = OF_SOURCE if source else reader.integer() if followed else int(name[2])
    table = reader.table()
    position = reader.position
    reader.end()
    if not source and not 0 <= place < len(TRACKED):
        place = OF_NOTHING  # as in HAProxy nothing is followed there
    if table is None and not source:
        return EntryQuestion(element, place, None)
    return EntryQuestion(element, place, TableName(table or "", name, position))


def entry_numbers(name: str, asked: EntryQuestion) -> tuple[int, int, int]:
    """The arguments of its C function, with OWN_TABLE while the table is not known."""
    return asked.place, OWN_TABLE, data_number(ENTRY_FETCHES[name].data, asked.element)


def entry_word(action: str, numbers: tuple[int, ...]) -> str:
    """A fetch of this action and these arguments as it may be written; "" if none is so."""
    place, _, number = numbers[:3]
    kind, element = divmod(number, 1 << ELEMENT_BITS)
    before = "src_" if place == OF_SOURCE else f"sc{place}_"
    for name, word in ENTRY_FETCHES.items():
        if word.name != action or word.data.number != kind:
            continue
        if name.startswith(before):
            return f"{name}({element})" if word.indexed else name
        if word.indexed and name.startswith("sc_") and place != OF_SOURCE:
            return f"{name}({element},{place})"
    return ""


def table_asked(name: str, words: tuple[str, ...]) -> TableName:
    """The table that a fetch names which asks no entry."""
    return TableName(words[0] if words else "", name, 1)


def converter_asked(name: str, words: tuple[str, ...]) -> tuple[tuple[int, ...], TableName]:
    """The numbers of a converter, without its table's, and the table; ConfigError."""
    word = TABLE_CONVERTERS[name]

    def wrong(position: int, text: str) -> ConfigError:
        return ConfigError(f"invalid arg {position} in converter '{name}' : {text}")

    reader = _Arguments(words, 2 * word.indexed, wrong)
    element = reader.integer() if word.indexed else 0
    table = TableName(reader.table() or "", name, reader.position)
    if name in _WITH_DEFAULT:
        given = len(words) > 1
        otherwise = reader.integer() if given else 0
        reader.end()
        return (OWN_TABLE, int(given), otherwise), table
    reader.end()
    return (OWN_TABLE, data_number(word.data, element)), table
