"""Expressions and formats that give values: their words to what C runs (manual 7.3 and 8.2.4).

Owns how the flags of a format apply; what its variables say is in aliases.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

import msgspec

from proxy.config.lines.rules.aliases import (
    ALIASES,
    ANSWER_ALIASES,
    HTTPALIASES,
    NOT_IN_ANSWERS,
    NOT_IN_RULES,
    RULE_ALIASES,
    WITHOUT_A_SESSION,
    Said,
)
from proxy.config.lines.rules.arguments import ArgumentReader, given, is_shared
from proxy.config.lines.rules.converters import converters_of
from proxy.config.lines.rules.fetches import FETCHES, RULES, SampleType, Scope
from proxy.config.model.lists import NOWHERE, Place
from proxy.config.model.rules import Converter, Format, FormatPart, FormatText, Value
from proxy.config.text.calls import Calls, whole_calls
from proxy.config.text.format import UNKNOWN, Alias, Bracket, Text, format_pieces
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

_WITH_VARIABLES = RULES | Scope.LOG
_OF_HTTP = ("status", "res.body", "res.hdr", "res.fhdr", "res.hdr_cnt", "res.fhdr_cnt")


PLACES = {
    Scope.TCP_CHECK: "a health check of this kind",
    Scope.HTTP_CHECK: "a health check of this kind",
    Scope.ANSWER: "an answer",
    **dict.fromkeys(RULES, "a rule of connections"),
    Scope.CONTENT | Scope.BACKEND: "a rule of connections",
    Scope.RESPONSE | Scope.BACKEND: "a rule of connections",
    Scope.LOG: "a log format",
    Scope.PROCESS: "the global section",
    Scope.ORDER: "an order of the stats socket",
}


class ValueReader:
    """Reads the expressions and formats of one line.

    `needs_http`: something in a format was of the kind that HAProxy warns of in mode tcp.
    """

    def __init__(
        self,
        scope: Scope,
        environment: Mapping[str, str],
        status: str = "-1",
        place: Place = NOWHERE,
    ) -> None:
        """`status`: that of the answer, as `%ST` tells it; unknown for a redirect.

        The paths of maps begin in `place`.
        """
        self._scope = scope
        self._place = place
        self._environment = environment
        self._status = status
        self._answers = scope is Scope.ANSWER
        self.needs_http = False

    def expression(self, text: str) -> Value:
        """The value that a word is; raises ConfigError."""
        return self._value(whole_calls(text))

    def typed(self, text: str) -> tuple[Value, SampleType]:
        """The same, and what it gives; raises ConfigError."""
        calls = whole_calls(text)
        value = self._value(calls)
        given = FETCHES[calls.fetch.name].type
        return value, converters_of(given, calls.converters, self._place)[1]

    def format(self, text: str) -> Format:
        """The parts of a format; raises ConfigError."""
        return tuple(self._parts(text))

    def text(self, text: str) -> FormatText:
        """A format, or what it says where that is always the same; raises ConfigError."""
        parts = self.format(text)
        if any(part.value is not None for part in parts):
            return parts
        return "".join(part.text for part in parts)

    def _parts(self, text: str) -> Iterator[FormatPart]:
        for piece in format_pieces(text):
            if isinstance(piece, Text):
                yield FormatPart(piece.text)
            elif isinstance(piece, Bracket):
                yield self._bracket(piece)
            elif self._answers and piece.name == "r":
                yield from self._request_line(piece.flags)
            else:
                yield self._alias(piece)

    def _alias(self, piece: Alias) -> FormatPart:
        name, flags = piece
        if not self._answers and name in HTTPALIASES:
            raise ConfigError(f"format variable '{name}' is reserved for HTTP mode.")
        known, reasons, place = self._aliases()
        if name in reasons:
            raise ConfigError(f"'%{name}' is not supported in {place}: {reasons[name]}")
        if name == "H":
            return FormatPart(value=Value("text", socket.gethostname()), quote="Q" in flags)
        if self._answers and name == "ST":
            return FormatPart(self._status)
        if name not in known:
            raise ConfigError(UNKNOWN.format(name))
        said = known[name]
        self.needs_http |= name == "ST"
        quote, hexadecimal = said.quotable and "Q" in flags, "X" in flags
        if said.value is None:
            text = said.other if hexadecimal and said.other else said.text
            return FormatPart(f'"{text}"' if quote else text)
        return FormatPart(
            value=said.value,
            quote=quote,
            escape=said.quotable and "E" in flags,
            hexadecimal=said.hexadecimal and hexadecimal,
            encode=said.encode,
        )

    def _aliases(self) -> tuple[Mapping[str, Said], Mapping[str, str], str]:
        """What there is, why others are not there, and where that is."""
        if self._answers:
            return ANSWER_ALIASES, NOT_IN_ANSWERS, "an answer"
        if self._scope in RULES:
            return RULE_ALIASES, NOT_IN_RULES, PLACES[self._scope]
        return ALIASES, WITHOUT_A_SESSION, "a check"

    def _request_line(self, flags: frozenset[str]) -> Iterator[FormatPart]:
        """`%r`: one text of three, which has its quotes around all of them."""
        quote = '"' if "Q" in flags else ""
        before = quote
        for name in ("HM", "HU", "HV"):
            yield FormatPart(before)
            yield self._alias(Alias(name, flags - {"Q"}))
            before = " "
        yield FormatPart(quote)

    def _bracket(self, piece: Bracket) -> FormatPart:
        value = self._value(piece.calls)
        self.needs_http |= piece.calls.fetch.name in _OF_HTTP
        escape = "E" in piece.flags
        if self._answers:  # in HTTP, HAProxy encodes values and does not quote them
            return FormatPart(value=value, escape=escape, encode="%")
        return FormatPart(value=value, quote="Q" in piece.flags, escape=escape)

    def _value(self, calls: Calls) -> Value:
        name, arguments = calls.fetch
        fetch = FETCHES.get(name)
        if fetch is None or not self._scope & fetch.scope:
            here = tuple(known for known, each in FETCHES.items() if self._scope & each.scope)
            raise ConfigError(
                f"fetch method '{name}' is unknown, not available in {PLACES[self._scope]}, "
                f"or not supported yet{hint(name, here)}"
            )
        reader = ArgumentReader(name, self._environment)
        words = given(fetch.argument, arguments)
        live = fetch.live if self._scope & RULES else ""
        fields = {"fetch": live or fetch.name, **reader.read(fetch.argument, words)}
        converters, _ = converters_of(fetch.type, calls.converters, self._place)
        for converter in converters:
            sessions = converter.variable and not is_shared(converter.variable)
            if sessions and self._scope not in _WITH_VARIABLES:
                raise ConfigError(
                    f"converter '{converter.name}': a variable there ('{converter.variable}') is "
                    f"not supported; write {converter.name}(<number>)"
                )
        return Value(**fields, converters=tuple(_following(each, name) for each in converters))


def _following(converter: Converter, fetch: str) -> Converter:
    """A converter that can say which fetch it follows, where it names a table."""
    if converter.table is None:
        return converter
    table = msgspec.structs.replace(converter.table, fetch=fetch)
    return msgspec.structs.replace(converter, table=table)
