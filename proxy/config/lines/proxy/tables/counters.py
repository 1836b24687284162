"""Actions of rules about counters (manual section 4.2): which entry a session follows, what counts.

Owns `track-sc0` and its kin, `sc-inc-gpc` and `sc-set-gpt`, in HAProxy's words about wrong ones.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.config.lines.rules.fetches import SampleType, Scope
from proxy.config.lines.rules.table_words import TRACKED
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.rules import RuleAction, Value
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of
from shm.tables.shape import TableData, data_number

_TRACK = re.compile(r"track-sc([0-9]+)")
_COUNTERS = {"sc-inc-gpc": TableData.GPC, "sc-inc-gpc0": TableData.GPC0}
_COUNTERS |= {"sc-inc-gpc1": TableData.GPC1}
_TAGS = {"sc-set-gpt": TableData.GPT, "sc-set-gpt0": TableData.GPT0}
_TAG_MAX = 2**32 - 1
_SCOPES = {
    "tcp-request connection": Scope.CONNECTION,
    "tcp-request session": Scope.SESSION,
    "tcp-request content": Scope.CONTENT,
    "tcp-response content": Scope.RESPONSE,
}


class CounterAction(NamedTuple):
    """What one action says; `words` are those behind it."""

    action: RuleAction
    tracked: int
    words: list[str]
    table: str = ""  # "": the section's own
    key: Value | None = None
    key_type: SampleType = SampleType.TRUTH
    data: int = 0


def counter_actions_at(stage: str) -> tuple[str, ...]:
    """The actions about counters that a stage has, for messages."""
    tracks = ("track-sc0", "track-sc1", "track-sc2") if stage.startswith("tcp-request") else ()
    return (*tracks, *_COUNTERS, *_TAGS)


def is_counter_action(word: str, stage: str) -> bool:
    """Whether an action of such rules is about counters."""
    if _TRACK.fullmatch(word):
        return stage.startswith("tcp-request")
    return word.partition("(")[0] in (*_COUNTERS, *_TAGS)


def counter_action(statement: Statement, stage: str, words: list[str]) -> CounterAction:
    """The action that begins these words; `stage` is `tcp-request content` or the like.

    Raises ConfigError.
    """
    place = place_of(statement.context, statement.origin)
    reader = ValueReader(_SCOPES[stage], statement.context.environment, place=place)
    action, *rest = words
    track = _TRACK.fullmatch(action)
    if track:
        return _track(track[1], f"'{stage} {action}'", rest, reader)
    name, _, arguments = action.partition("(")
    data, tracked = _which(action, name, arguments)
    if name in _COUNTERS:
        return CounterAction(RuleAction.COUNT, tracked, rest, data=data)
    return _tag(f"'{stage} {action}'", rest, reader, (data, tracked))


def _track(number: str, what: str, rest: list[str], reader: ValueReader) -> CounterAction:
    if number not in TRACKED:
        raise ConfigError(
            f"{what} : {number} track-sc number exceeding {TRACKED[-1]} (MAX_SESS_STKCTR-1) value"
        )
    if not rest:
        raise ConfigError(f"{what} : missing fetch method")
    try:
        key, kind = reader.typed(rest[0])
    except ConfigError as error:
        raise ConfigError(f"{what} : {error}") from error
    rest, table = rest[1:], ""
    if rest[:1] == ["table"]:
        if len(rest) == 1:
            raise ConfigError(f"{what} : the name of a table is missing behind 'table'")
        table, rest = rest[1], rest[2:]
    return CounterAction(RuleAction.TRACK, int(number), rest, table, key, kind)


def _which(action: str, name: str, arguments: str) -> tuple[int, int]:
    """The data, and which entry that a session follows; ConfigError."""
    data = {**_COUNTERS, **_TAGS}[name]
    kind = name[-3:] if data.is_array else ""
    usage = f"{name}(<{kind.upper()} ID>,<Track ID>)" if kind else f"{name}(<Track ID>)"
    given = re.fullmatch(r"([^,()]*)(?:,([^()]*))?\)", arguments) if arguments else None
    if data.is_array:
        if given is None:
            raise ConfigError(f"invalid {kind} ID '{action}'. Expects {usage}")
        element, track = given[1], given[2]
        if track is None or not element.isdecimal():
            raise ConfigError(f"Missing {kind} ID '{action}'. Expects {usage}")
    else:
        element, track = "0", arguments.removesuffix(")") or "0"
        if arguments and (given is None or given[2] is not None):
            track = ""
    if not track.isdecimal():
        raise ConfigError(f"invalid stick table track ID '{action}'. Expects {usage}")
    if track.lstrip("0") not in ("", *TRACKED):
        quoted = "" if name in ("sc-inc-gpc0", "sc-inc-gpc1") else f" '{action}'"
        raise ConfigError(
            f"invalid stick table track ID{quoted}. The max allowed ID is {TRACKED[-1]}"
        )
    return data_number(data, int(element)), int(track)


def _tag(what: str, rest: list[str], reader: ValueReader, which: tuple[int, int]) -> CounterAction:
    if not rest:
        raise ConfigError(f"{what} : expects a number, or a fetch method, for the tag")
    data, tracked = which
    if re.fullmatch(r"[+-]?[0-9]+", rest[0]):
        number = int(rest[0])
        if not 0 <= number <= _TAG_MAX:
            raise ConfigError(f"{what} : '{rest[0]}' is no number from 0 to {_TAG_MAX}")
        key, kind = Value("number", numbers=(number, 0)), SampleType.NUMBER
    else:
        try:
            key, kind = reader.typed(rest[0])
        except ConfigError as error:
            raise ConfigError(f"{what} : {error}") from error
        if not kind.becomes(SampleType.NUMBER):
            raise ConfigError(f"{what} : fetch method '{rest[0]}' gives no number")
    return CounterAction(RuleAction.TAG, tracked, rest[1:], key=key, key_type=kind, data=data)
