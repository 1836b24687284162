"""`log-format` strings to items (manual section 8.2.4). Pure.

Owns the grammar: literal text, `%name`, `%{flags}name`, `%[fetch]`, `%%`, `%{flags}o` for all that
follows, and the rule that several spaces are one. Knows which variables exist, not their values.
"""

from __future__ import annotations

import re

from proxy.config.model.settings import LogItem
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

_NAME = re.compile(r"[A-Za-z0-9]+")
_FETCH = re.compile(r"([A-Za-z0-9_.]+)(\(((?:[^()\\]|\\.)*)\))?")
_UNESCAPED = re.compile(r"\\(.)")
_VERBATIM = "If you wanted to emit the '%' character verbatim, you need to use '%%'."


def parse_log_format(text: str) -> tuple[LogItem, ...]:
    """The items of a format; ConfigError for one with an error."""
    return _FormatParser(text).run()


class _FormatParser:
    """One format while it is being read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = frozenset[str]()  # set by %{...}o for what follows
        self._items: list[LogItem] = []
        self._literal: list[str] = []

    def run(self) -> tuple[LogItem, ...]:
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == "%":
                self._variable()
            elif character != " ":
                self._literal.append(character)
            elif not self._after_space():
                self._literal.append(" ")
        self._end_literal()
        return tuple(self._items)

    def _after_space(self) -> bool:
        """Whether a space here would be the second in a row, or the first character."""
        if self._literal:
            return self._literal[-1] == " "
        return not self._items

    def _end_literal(self) -> None:
        if self._literal:
            self._items.append(LogItem("text", "".join(self._literal)))
            self._literal.clear()

    def _variable(self) -> None:
        if self._text[self._at : self._at + 1] == "%":
            self._at += 1
            self._literal.append("%")
            return
        flags = self._read_flags()
        if self._text[self._at : self._at + 1] == "[":
            self._at += 1
            self._fetch(flags)
            return
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise ConfigError(self._nameless())
        name = found.group()
        self._at = found.end()
        if name == "o":
            self._flags = flags
            return
        if name in HTTP_VARIABLES:
            raise ConfigError(f"format variable '{name}' is reserved for HTTP mode.")
        if name not in VARIABLES:
            raise ConfigError(f"no such format variable '{name}'. {_VERBATIM}")
        self._add(name, "", flags)

    def _nameless(self) -> str:
        if self._at >= len(self._text):
            return "truncated line after '%'."
        character = self._text[self._at]
        return (
            f"unexpected variable name near '{character}' at position {self._at} line : "
            f"'{self._text}'. Maybe you want to write a single '%', use the syntax '%%'."
        )

    def _read_flags(self) -> frozenset[str]:
        """`{+Q,-X,+E}`: the flags set by `o` with these changes; unknown ones have no effect."""
        if self._text[self._at : self._at + 1] != "{":
            return self._flags
        close = self._text.find("}", self._at)
        if close < 0:
            raise ConfigError(f"truncated line after '{self._text[self._at + 1 :]}'.")
        flags = set(self._flags)
        for word in self._text[self._at + 1 : close].split(","):
            (flags.discard if word.startswith("-") else flags.add)(word.strip(" +-"))
        self._at = close + 1
        return frozenset(flags)

    def _fetch(self, flags: frozenset[str]) -> None:
        """`%[name]`, `%[name(argument)]`: no converters."""
        found = _FETCH.match(self._text, self._at)
        rest = self._text[self._at :]
        name = found.group(1) if found else ""
        if name not in FETCHES and name not in CONSTANTS:
            known = hint(name, FETCHES | CONSTANTS)
            raise ConfigError(
                f"'%[{rest.split(']')[0]}]' is not supported: Millrace's log-format has "
                f"{', '.join(sorted(FETCHES | CONSTANTS))}{known}"
            )
        assert found is not None, "a known name was found"
        following = self._text[found.end() : found.end() + 1]
        if following == ",":
            raise ConfigError(f"'%[{name},...]' is not supported: log-format has no converters")
        if following != "]":
            raise ConfigError(f"missing ']' after '{rest}'.")
        self._at = found.end() + 1
        argument = found.group(3)
        if name not in CONSTANTS:
            if argument:
                raise ConfigError(f"'%[{name}]' takes no argument ('{argument}')")
            self._add(name, "", flags)
            return
        if argument is None:
            raise ConfigError(f"'%[{name}(...)]' expects an argument in parentheses")
        self._add("constant", self._constant(name, _UNESCAPED.sub(r"\1", argument)), flags)

    def _constant(self, name: str, argument: str) -> str:
        return str(parse_number(argument, 0, INTEGER_MAX)) if name == "int" else argument

    def _add(self, name: str, text: str, flags: frozenset[str]) -> None:
        self._end_literal()
        self._items.append(
            LogItem(name, text, quote="Q" in flags, hexadecimal="X" in flags, escape="E" in flags)
        )
