"""What the rules of `tcp-check` and `http-check` have in common (manual section 4.2).

Owns `comment`, `connect`, variables and the options of `expect`; the rules themselves are read in
tcp_check.py and http_check.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from proxy.config.lines.rules.arguments import setting_conditions, variable_name
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.lines.tls import protocols, server_name
from proxy.config.model.checks import ConnectStep, ExpectStep, Match, SetStep
from proxy.config.model.rules import Format, FormatText, Value
from proxy.config.text.addresses import parse_address, parse_port
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number
from proxy.patterns import Pattern, PatternError
from shm.check_status import CheckStatus

BYTES_MAX = 2**31 - 1  # of `min-recv`
SETTERS = ("set-var", "set-var-fmt", "unset-var")
_STATUSES = {
    "ok-status": (CheckStatus.L4OK, CheckStatus.L6OK, CheckStatus.L7OK, CheckStatus.L7OKC),
    "error-status": (
        *(CheckStatus.L4CON, CheckStatus.L6RSP, CheckStatus.L7RSP),
        *(CheckStatus.L7STS, CheckStatus.L7OKC),
    ),
    "tout-status": (CheckStatus.L4TOUT, CheckStatus.L6TOUT, CheckStatus.L7TOUT),
}
_TEXTS = ("on-success", "on-error")
EXPECT_OPTIONS = ("min-recv", "comment", "status-code", *_STATUSES, *_TEXTS)
_CONNECT_WORDS = (
    *("comment", "default", "port", "addr", "send-proxy", "linger"),
    *("ssl", "sni", "alpn", "proto", "via-socks4"),
)


def rule_kind(statement: Statement, kinds: Sequence[str]) -> str:
    """The word behind `tcp-check` or `http-check`, without a variable in parentheses.

    ConfigError where it is not one of `kinds`.
    """
    word = statement.keyword
    kind = statement.arguments[0] if statement.arguments else ""
    if kind.partition("(")[0] in SETTERS:
        return kind.partition("(")[0]
    if kind not in kinds:
        known = "', '".join(kinds)
        found = hint(kind, tuple(kinds))
        raise ConfigError(f"'{word}' only supports '{known}', but got '{kind}'{found}")
    return kind


class RuleReader:
    """One rule while its words are read; `rules` are the lines before it, comments too."""

    def __init__(
        self, name: str, statement: Statement, rules: Sequence[object], scope: Scope
    ) -> None:
        """`name` is the rule's in messages: `tcp-check expect`."""
        self.name = f"'{name}'"
        self.words = list(statement.arguments)
        self._values = ValueReader(
            scope,
            statement.context.environment,
            place=place_of(statement.context, statement.origin),
        )
        self._statement = statement
        self._rules = rules

    @property
    def number(self) -> int:
        """The rule's in its section, from 1."""
        return len(self._rules) + 1

    def fail(self, text: str) -> NoReturn:
        """Raise a ConfigError about the rule."""
        raise ConfigError(f"{self.name} : {text}")

    def comment_before(self) -> str:
        """The comment right before the rule; expectations in a row share the one before them."""
        for rule in reversed(self._rules):
            if isinstance(rule, str):
                return rule
            if self._statement.keyword != "expect" or not isinstance(rule, ExpectStep):
                break
        return ""

    def value(self, what: str, option: str = "") -> str:
        """The next word; ConfigError where there is none."""
        if not self.words or not self.words[0]:
            self.fail((f"'{option}' " if option else "") + f"expects {what}")
        return self.words.pop(0)

    def end(self) -> None:
        """ConfigError where a word is left."""
        if self.words:
            raise ConfigError(f"{self.name} cannot handle unexpected argument '{self.words[0]}'")

    def only(self, known: Sequence[str], word: str) -> NoReturn:
        """Raise a ConfigError about a word that is none of the known ones."""
        listed = "', '".join(known)
        self.fail(f"only supports '{listed}', but got '{word}'{hint(word, tuple(known))}")

    def told_of_http(self, title: str) -> None:
        """Warn, as HAProxy does, of a format that looks at HTTP in a section in mode tcp."""
        if self._values.needs_http:
            self._statement.warn(
                f"HTTP log/header format not usable with {title} (needs 'mode http')."
            )

    def expression(self, text: str, what: str) -> Value:
        """A value that the words of a rule say."""
        try:
            return self._values.expression(text)
        except ConfigError as error:
            raise ConfigError(
                f"{self.name} : error detected while parsing {what} expression : {error}"
            ) from error

    def format(self, text: str) -> Format:
        """A format that the words of a rule say."""
        try:
            return self._values.format(text)
        except ConfigError as error:
            raise ConfigError(
                f"{self.name} : '{text}' invalid log-format string ({error})"
            ) from error

    def text(self, text: str) -> FormatText:
        """The same, or what it says where that is always the same."""
        self.format(text)
        return self._values.text(text)

    def variable(self) -> SetStep:
        """The line `set-var(<name>) <expression>`, `set-var-fmt` or `unset-var`."""
        kind, opening, rest = self._statement.words[0].partition("(")
        name, *conditions = rest.removesuffix(")").split(",")
        if not opening or not rest.endswith(")"):
            self.fail(f"expects '{kind}(<variable>)'")
        try:
            name, when = variable_name(name), setting_conditions(conditions)
        except ConfigError as error:
            raise ConfigError(f"{self.name} : '{kind}' : {error}") from error
        if kind == "unset-var":
            if conditions:
                self.fail(f"'{kind}' takes no condition (got '{conditions[0]}')")
            self._statement.pass_over(0, self.name)
            return SetStep(self.number, name)
        self._statement.pass_over(1, self.name)
        if kind == "set-var-fmt":
            text = self.value("a format")
            return SetStep(self.number, name, form=self.format(text), when=when)
        value = self.expression(self.value("an expression"), kind)
        return SetStep(self.number, name, value=value, when=when)

    def comment(self) -> str:
        """The line `comment`; HAProxy says of what follows it that it is passed over."""
        text = self.value("a string")
        self._statement.pass_over(1, self.name)
        return text

    def connect(self) -> ConnectStep:
        """The line `connect`."""
        others = [rule for rule in self._rules if not isinstance(rule, str | SetStep)]
        if others and not isinstance(others[0], ConnectStep):
            self.fail(
                "the first step must be a 'connect', too, where a later one is: only variables "
                "may be set before"
            )
        given: dict[str, Any] = {"comment": self.comment_before()}
        while self.words:
            option = self.words.pop(0)
            if option == "port":
                given.update(self._port())
            elif option == "addr":
                given.update(self._address())
            elif option == "comment":
                given["comment"] = self.value("a string", option)
            elif option == "sni":
                given["sni"] = server_name(self.value("a host name", option), option)
            elif option == "alpn":
                text = self.value("the comma-delimited ALPN protocol suite", option)
                given["alpn"] = protocols(text, option)
            elif option in ("default", "linger", "send-proxy", "ssl"):
                given[option.replace("-", "_")] = True
            elif option == "proto" and self.words[:1] == ["h1"]:
                self.words.pop(0)  # the only one there is
            elif option == "proto":
                self.fail(f"'{option}' is not supported yet")
            elif option == "via-socks4":
                self.fail(f"'{option}' is not supported")
            else:
                self.only(_CONNECT_WORDS, option)
        return ConnectStep(self.number, **given)

    def _port(self) -> dict[str, Any]:
        text = self.value("a port number or an expression", "port")
        if not text.isdecimal():
            return {"port": None, "port_value": self.expression(text, "port")}
        try:
            return {"port": parse_number(text, 1, 65_535), "port_value": None}
        except ConfigError as error:
            raise ConfigError(f"{self.name} : 'port' {error}") from error

    def _address(self) -> dict[str, Any]:
        context = self._statement.context
        address = parse_address(self.value("<ipv4|ipv6>", "addr"), context.environment)
        if address.local is not None:
            self.fail(f"'addr' is not supported with '{address.text}'")
        number = address.number or context.resolve_host(address.host, address.family)
        if number is None:
            self.fail(f"'addr' : cannot resolve '{address.host}'")
        port = parse_port(address.port_text, address.text) if address.port_text else 0
        return {"address": number, "address_port": port or None}

    def match_word(self) -> tuple[str, bool]:
        """The next word of `expect`, and whether it is negated: `!word`, `! word`."""
        word = self.words.pop(0)
        negated = False
        while word.startswith("!"):
            negated, word = True, word[1:]
            if not word:
                word = self.value("a pattern behind '!'")
        return word, negated

    def regex(self, text: str) -> bytes:
        """A regular expression that PCRE2 takes."""
        try:
            Pattern(text.encode())
        except PatternError as error:
            raise ConfigError(f"{self.name} : regex '{text}' is invalid: {error}") from error
        return text.encode()

    def expect_option(self, option: str) -> dict[str, Any]:
        """The fields of an ExpectStep that an option of `expect` sets."""
        text = self.value("an argument", option)
        if option == "comment":
            return {"comment": text}
        if option in _TEXTS:
            return {option.replace("-", "_"): self.text(text)}
        if option == "status-code":
            return {"status_code": self.expression(text, option)}
        if option == "min-recv":
            try:
                least = parse_number(text, -1, BYTES_MAX)
            except ConfigError as error:
                raise ConfigError(f"{self.name} : 'min-recv' {error}") from error
            return {"bytes_min": None if least < 0 else least}
        names = {status.name: status for status in _STATUSES[option]}
        if text not in names:
            known = "', '".join(names)
            self.fail(f"'{option}' only supports '{known}' (got '{text}')")
        field = option.replace("-", "_").replace("tout", "timeout")
        return {field: int(names[text])}

    def expectation(self, matches: Sequence[Match]) -> dict[str, Any]:
        """The words of `expect`: fields of an ExpectStep; `matches` are those of the protocol."""
        given: dict[str, Any] = {"comment": self.comment_before()}
        while self.words:
            word, negated = self.match_word()
            if word in matches:
                if "match" in given:
                    self.fail("only one pattern is expected")
                match = Match(word)
                given |= {"match": match, "negated": negated, **self.pattern(match)}
            elif word not in EXPECT_OPTIONS:
                self.only((*EXPECT_OPTIONS, *matches), word)
            elif negated:
                self.fail(f"'!' is not supported with '{word}'")
            else:
                given |= self.expect_option(word)
        if "match" not in given:
            self.fail("expects a pattern")
        return given

    def pattern(self, match: Match) -> dict[str, Any]:
        """The fields that the pattern behind `match` sets."""
        raise NotImplementedError
