"""`log-format` strings to items (manual section 8.2.4). Pure.

Owns the rule that several spaces are one, and which variables exist; the grammar is text/format.py.
"""

from __future__ import annotations

from proxy.config.model.settings import LogItem
from proxy.config.text.format import UNKNOWN, Alias, Bracket, Text, format_pieces
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number

TCP_FORMAT = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq"
INTEGER_MAX = 9_223_372_036_854_775_807

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


def parse_log_format(text: str) -> tuple[LogItem, ...]:
    """The items of a format; ConfigError for one with an error."""
    items: list[LogItem] = []
    for piece in format_pieces(text):
        if isinstance(piece, Text):
            single = _single_spaced(piece.text, at_start=not items)
            if single:
                items.append(LogItem("text", single))
        elif isinstance(piece, Alias):
            items.append(_item(_variable(piece.name), "", piece.flags))
        else:
            items.append(_fetch(piece))
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


def _fetch(piece: Bracket) -> LogItem:
    """`%[name]`, `%[name(argument)]`: no converters."""
    name, arguments = piece.calls.fetch
    if name not in FETCHES and name not in CONSTANTS:
        known = hint(name, FETCHES | CONSTANTS)
        raise ConfigError(
            f"'%[{piece.text}]' is not supported: Millrace's log-format has "
            f"{', '.join(sorted(FETCHES | CONSTANTS))}{known}"
        )
    if piece.calls.converters:
        raise ConfigError(f"'%[{name},...]' is not supported: log-format has no converters")
    if name not in CONSTANTS:
        if arguments:
            raise ConfigError(f"'%[{name}]' takes no argument ('{arguments[0]}')")
        return _item(name, "", piece.flags)
    if arguments is None or len(arguments) > 1:
        raise ConfigError(f"'%[{name}(...)]' expects an argument in parentheses")
    return _item("constant", _constant(name, "".join(arguments)), piece.flags)


def _constant(name: str, argument: str) -> str:
    return str(parse_number(argument, 0, INTEGER_MAX)) if name == "int" else argument


def _item(name: str, text: str, flags: frozenset[str]) -> LogItem:
    return LogItem(name, text, quote="Q" in flags, hexadecimal="X" in flags, escape="E" in flags)
