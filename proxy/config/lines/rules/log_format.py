"""`log-format` strings to items (manual section 8.2.4). Pure.

Owns the rule that several spaces are one, and which variables exist; the grammar is text/format.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config.lines.rules.arguments import integer
from proxy.config.lines.rules.converters import converters_of
from proxy.config.lines.rules.fetches import FETCHES as RULE_FETCHES
from proxy.config.lines.rules.fetches import SampleType, Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.model.lists import NOWHERE, Place
from proxy.config.model.rules import Value
from proxy.config.model.settings import LogItem
from proxy.config.text.format import UNKNOWN, Alias, Bracket, Text, format_pieces
from proxy.config.text.messages import ConfigError

VARIABLES = frozenset(
    (
        *("B", "H", "ID", "ST", "T", "Tc", "Td", "Th", "Tl", "Ts", "Tt", "Tu", "Tw", "U", "ac"),
        *("b", "bc", "bi", "bp", "bq", "ci", "cp", "f", "fc", "fi", "fp", "ft", "hr", "hrl", "hs"),
        *("hsl", "lc", "ms", "pid", "rc", "rt", "s", "sc", "si", "sp", "sq", "sslc", "sslv", "t"),
        *("ts", "tsc"),
    )
)
HTTP_VARIABLES = frozenset(
    (
        *("CC", "CS", "HM", "HP", "HPO", "HQ", "HU", "HV", "TR", "Ta", "Ti", "Tq", "Tr", "r"),
        *("tr", "trg", "trl"),
    )
)
FETCHES = frozenset(
    (
        *("src", "src_port", "dst", "dst_port", "fe_name", "fe_id", "be_name", "be_id"),
        *("srv_name", "srv_id", "so_name", "so_id", "hostname"),
    )
)
CONSTANTS = frozenset(("str", "int"))  # fetches that are known at load
_BYTES = Scope.CONTENT | Scope.RESPONSE
_ELSEWHERE = Scope.LOG | Scope.CONNECTION  # what is there without bytes
_TEXT, _NUMBER, _ADDRESS = SampleType.TEXT, SampleType.NUMBER, SampleType.ADDRESS
_OF_SESSION = {  # what converters may begin with that only the log knows
    **dict.fromkeys(("fe_name", "be_name", "srv_name", "so_name"), _TEXT),
    **dict.fromkeys(("fe_id", "be_id", "srv_id", "so_id"), _NUMBER),
    **dict.fromkeys(("bc_src", "bc_dst"), _ADDRESS),
    **dict.fromkeys(("bc_src_port", "bc_dst_port"), _NUMBER),
}


def parse_log_format(
    text: str, environment: Mapping[str, str] = {}, place: Place = NOWHERE
) -> tuple[LogItem, ...]:
    """The items of a format; ConfigError for one with an error. Paths begin in `place`."""
    items: list[LogItem] = []
    for piece in format_pieces(text):
        if isinstance(piece, Text):
            single = _single_spaced(piece.text, at_start=not items)
            if single:
                items.append(LogItem("text", single))
        elif isinstance(piece, Alias):
            items.append(_item(_variable(piece.name), "", piece.flags))
        else:
            items.append(_fetch(piece, environment, place))
    return tuple(items)


def _single_spaced(text: str, *, at_start: bool) -> str:
    """Several spaces as one, and none at the start of all."""
    kept: list[str] = []
    for character in text:
        again = kept[-1:] == [" "] if kept else at_start
        if character != " " or not again:
            kept.append(character)
    return "".join(kept)


def _variable(name: str) -> str:
    if name in HTTP_VARIABLES:
        raise ConfigError(f"format variable '{name}' is reserved for HTTP mode.")
    if name not in VARIABLES:
        raise ConfigError(UNKNOWN.format(name))
    return name


def _fetch(piece: Bracket, environment: Mapping[str, str], place: Place) -> LogItem:
    """`%[...]`: a name that a step writes, or an expression."""
    (name, arguments), converters = piece.calls
    if name in _OF_SESSION and (converters or name not in FETCHES):
        found, _ = converters_of(_OF_SESSION[name], converters, place)
        _check_alone(name, arguments)
        return _item(name, "", piece.flags, Value("nothing", converters=found))
    if converters or name not in FETCHES | CONSTANTS:
        _check_time(name, piece.text)
        value = ValueReader(Scope.LOG, environment, place=place).expression(piece.text)
        return _item("value", "", piece.flags, value)
    if name not in CONSTANTS:
        _check_alone(name, arguments)
        return _item(name, "", piece.flags)
    if arguments is None or len(arguments) > 1:
        raise ConfigError(f"'%[{name}(...)]' expects an argument in parentheses")
    return _item("constant", _constant(name, "".join(arguments)), piece.flags)


def _check_time(name: str, text: str) -> None:
    """ConfigError for what looks at bytes: they are gone when a line is made."""
    known = RULE_FETCHES.get(name)
    if known is not None and known.scope & _BYTES and not known.scope & _ELSEWHERE:
        raise ConfigError(
            f"sample fetch <{text}> may not be reliably used here because it needs bytes that are "
            f"not available here: keep it by 'tcp-request content set-var(txn.name) {text}', and "
            "write '%[var(txn.name)]'"
        )


def _check_alone(name: str, arguments: tuple[str, ...] | None) -> None:
    if arguments:
        raise ConfigError(f"'%[{name}]' takes no argument ('{arguments[0]}')")


def _constant(name: str, argument: str) -> str:
    return str(integer(argument, name)) if name == "int" else argument


def _item(name: str, text: str, flags: frozenset[str], value: Value | None = None) -> LogItem:
    quote, hexadecimal, escape = "Q" in flags, "X" in flags, "E" in flags
    return LogItem(name, text, quote, hexadecimal, escape, value)
