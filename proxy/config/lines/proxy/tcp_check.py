"""`tcp-check ...`: the steps of a health check (manual section 4.2).

Owns the arguments of each kind of rule. Formats and expressions (`%[...]`, `*-lf`, `set-var`) are
not supported yet, nor is TLS.
"""

from __future__ import annotations

from typing import Any

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.table import Statement
from proxy.config.model.checks import ConnectStep, ExpectStep, Match, SendStep
from proxy.config.text.addresses import parse_address, parse_port
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number
from proxy.patterns import Pattern, PatternError
from shm.check_status import CheckStatus

BYTES_MAX = 2**31 - 1  # of `min-recv`
_KINDS = ("comment", "connect", "send", "send-binary", "expect")
_LATER = ("send-lf", "send-binary-lf", "set-var", "set-var-fmt", "unset-var")
_CONNECT_LATER = ("ssl", "sni", "alpn")
_EXPECT_LATER = ("string-lf", "binary-lf", "status-code")
_STATUSES = {
    "ok-status": (CheckStatus.L4OK, CheckStatus.L6OK, CheckStatus.L7OK, CheckStatus.L7OKC),
    "error-status": (CheckStatus.L4CON, CheckStatus.L6RSP, CheckStatus.L7RSP, CheckStatus.L7STS),
    "tout-status": (CheckStatus.L4TOUT, CheckStatus.L6TOUT, CheckStatus.L7TOUT),
}
_TEXTS = ("on-success", "on-error")
_EXPECT_WORDS = ("min-recv", "comment", *_STATUSES, *_TEXTS, *Match, *_EXPECT_LATER)
_CONNECT_WORDS = (
    *("comment", "default", "port", "addr", "send-proxy", "linger"),
    *(*_CONNECT_LATER, "via-socks4"),
)


def tcp_check(statement: Statement, draft: ProxyDraft) -> None:
    """One rule. The first of a section replaces the rules that it inherited."""
    kind = statement.arguments[0] if statement.arguments else ""
    if kind.partition("(")[0] in _LATER:
        raise ConfigError(f"'tcp-check {kind}' is not supported yet")
    if kind not in _KINDS:
        known = "', '".join(_KINDS)
        raise ConfigError(
            f"'tcp-check' only supports '{known}', but got '{kind}'{hint(kind, _KINDS)}"
        )
    if draft.tcp_check_inherited:
        draft.tcp_check, draft.tcp_check_inherited = [], False
    draft.tcp_check_origin = statement.origin
    _Rule(statement.skip(1), draft).add(kind)


class _Rule:
    """One rule while its words are read."""

    def __init__(self, statement: Statement, draft: ProxyDraft) -> None:
        self._statement = statement
        self._words = list(statement.arguments)
        self._rules = draft.tcp_check
        self._name = f"'tcp-check {statement.keyword}'"

    def add(self, kind: str) -> None:
        if kind == "comment":
            text = self._value("a string")
            self._statement.pass_over(1, self._name)
            self._rules.append(text)
        elif kind == "connect":
            self._rules.append(self._connect())
        elif kind == "expect":
            self._rules.append(self._expect())
        else:
            self._rules.append(self._send(kind == "send-binary"))

    @property
    def _number(self) -> int:
        return len(self._rules) + 1

    def _comment(self) -> str:
        """The comment right before the rule; expectations in a row share the one before them."""
        for rule in reversed(self._rules):
            if isinstance(rule, str):
                return rule
            if self._statement.keyword != "expect" or not isinstance(rule, ExpectStep):
                break
        return ""

    def _value(self, what: str, option: str = "") -> str:
        """The next word; ConfigError where there is none."""
        if not self._words or not self._words[0]:
            subject = f"'{option}' " if option else ""
            raise ConfigError(f"{self._name} : {subject}expects {what}")
        return self._words.pop(0)

    def _send(self, binary: bool) -> SendStep:
        text = self._value("a string")
        data = self._binary(text) if binary else text.encode()
        comment = self._comment()
        if self._words:
            option = self._words.pop(0)
            if option != "comment":
                raise ConfigError(f"{self._name} : expects 'comment' but got '{option}'")
            comment = self._value("a string", option)
        self._end()
        return SendStep(self._number, data, comment)

    def _binary(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text if text.isalnum() else "x")
        except ValueError:
            raise ConfigError(
                f"{self._name} : '{text}' is no binary string: an even number of hex digits"
            ) from None

    def _connect(self) -> ConnectStep:
        others = [rule for rule in self._rules if not isinstance(rule, str)]
        if others and not isinstance(others[0], ConnectStep):
            raise ConfigError(
                f"{self._name} : the first step must be a 'connect', too, where a later one is"
            )
        given: dict[str, Any] = {"comment": self._comment()}
        while self._words:
            option = self._words.pop(0)
            if option == "port":
                given["port"] = self._port()
            elif option == "addr":
                given.update(self._address())
            elif option == "comment":
                given["comment"] = self._value("a string", option)
            elif option in ("default", "linger", "send-proxy"):
                given[option.replace("-", "_")] = True
            elif option in _CONNECT_LATER:
                raise ConfigError(f"{self._name} : '{option}' is not supported yet")
            elif option == "via-socks4":
                raise ConfigError(f"{self._name} : '{option}' is not supported")
            else:
                raise ConfigError(f"{self._name} : {_only(_CONNECT_WORDS, option)}")
        return ConnectStep(self._number, **given)

    def _port(self) -> int:
        text = self._value("a port number", "port")
        if not text.isdecimal():
            raise ConfigError(f"{self._name} : an expression as 'port' is not supported yet")
        try:
            return parse_number(text, 1, 65_535)
        except ConfigError as error:
            raise ConfigError(f"{self._name} : 'port' {error}") from error

    def _address(self) -> dict[str, Any]:
        context = self._statement.context
        address = parse_address(self._value("<ipv4|ipv6>", "addr"), context.environment)
        if address.local is not None:
            raise ConfigError(f"{self._name} : 'addr' is not supported with '{address.text}'")
        number = address.number or context.resolve_host(address.host, address.family)
        if number is None:
            raise ConfigError(f"{self._name} : 'addr' : cannot resolve '{address.host}'")
        port = parse_port(address.port_text, address.text) if address.port_text else 0
        return {"address": number, "address_port": port or None}

    def _expect(self) -> ExpectStep:
        given: dict[str, Any] = {"comment": self._comment()}
        while self._words:
            option = self._words.pop(0)
            negated = False
            while option.startswith("!"):
                negated, option = True, option[1:]
                if not option:
                    option = self._value("a pattern behind '!'")
            if option in [*Match]:
                given.update(self._pattern(given, Match(option), negated))
            elif option in _EXPECT_LATER:
                raise ConfigError(f"{self._name} : '{option}' is not supported yet")
            elif option not in _EXPECT_WORDS:
                raise ConfigError(f"{self._name} : {_only(_EXPECT_WORDS, option)}")
            elif negated:
                raise ConfigError(f"{self._name} : '!' is not supported with '{option}'")
            else:
                given.update(self._expect_option(option))
        if "match" not in given:
            raise ConfigError(f"{self._name} : expects a pattern")
        return ExpectStep(self._number, **given)

    def _pattern(self, given: dict[str, Any], match: Match, negated: bool) -> dict[str, Any]:
        if "match" in given:
            raise ConfigError(f"{self._name} : only one pattern is expected")
        text = self._value("a pattern", match)
        pattern = self._binary(text) if match is Match.BINARY else text.encode()
        if match in (Match.REGEX, Match.BINARY_REGEX):
            try:
                Pattern(pattern)
            except PatternError as error:
                raise ConfigError(f"{self._name} : regex '{text}' is invalid: {error}") from error
        return {"match": match, "pattern": pattern, "negated": negated}

    def _expect_option(self, option: str) -> dict[str, Any]:
        text = self._value("an argument", option)
        if option == "comment":
            return {"comment": text}
        if option in _TEXTS:
            if "%" in text:
                raise ConfigError(f"{self._name} : '{option}' : '%' is not supported yet")
            return {option.replace("-", "_"): text}
        if option == "min-recv":
            try:
                least = parse_number(text, -1, BYTES_MAX)
            except ConfigError as error:
                raise ConfigError(f"{self._name} : 'min-recv' {error}") from error
            return {"bytes_min": None if least < 0 else least}
        names = {status.name: status for status in _STATUSES[option]}
        if text not in names:
            known = "', '".join(names)
            raise ConfigError(f"{self._name} : '{option}' only supports '{known}' (got '{text}')")
        field = option.replace("-", "_").replace("tout", "timeout")
        return {field: int(names[text])}

    def _end(self) -> None:
        if self._words:
            raise ConfigError(f"{self._name} cannot handle unexpected argument '{self._words[0]}'")


def _only(known: tuple[str, ...], word: str) -> str:
    listed = "', '".join(known)
    return f"only supports '{listed}', but got '{word}'{hint(word, known)}"
