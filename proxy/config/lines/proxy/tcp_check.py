"""`tcp-check ...`: the steps of a health check (manual section 4.2)."""

from __future__ import annotations

from typing import Any

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.proxy.check_rule import SETTERS, RuleReader, rule_kind
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.table import Statement
from proxy.config.model.checks import ExpectStep, Match, SendStep

_KINDS = (
    *("comment", "connect", "send", "send-binary", "send-lf", "send-binary-lf", "expect"),
    *SETTERS,
)
_MATCHES = (
    *(Match.STRING, Match.REGEX, Match.BINARY, Match.BINARY_REGEX),
    *(Match.STRING_FORMAT, Match.BINARY_FORMAT),
)


def tcp_check(statement: Statement, draft: ProxyDraft) -> None:
    """One rule. The first of a section replaces the rules that it inherited."""
    kind = rule_kind(statement, _KINDS)
    draft.tcp_check.begin(statement.origin, draft.check_option)
    lines = draft.tcp_check.lines
    rule = _TcpRule(f"tcp-check {kind}", statement.skip(1), lines, Scope.TCP_CHECK)
    if kind == "comment":
        lines.append(rule.comment())
    elif kind == "connect":
        lines.append(rule.connect())
    elif kind == "expect":
        lines.append(ExpectStep(rule.number, **rule.expectation(_MATCHES)))
    elif kind in SETTERS:
        lines.append(rule.variable())
    else:
        lines.append(rule.send(kind))
    rule.told_of_http(f"proxy '{draft.name}'")


class _TcpRule(RuleReader):
    def send(self, kind: str) -> SendStep:
        """The line `send` and its likes."""
        text = self.value("a string")
        form = self.format(text) if kind.endswith("-lf") else ()
        data = b""
        if not form:
            data = self._binary(text) if kind == "send-binary" else text.encode()
        comment = self.comment_before()
        if self.words:
            option = self.words.pop(0)
            if option != "comment":
                self.fail(f"expects 'comment' but got '{option}'")
            comment = self.value("a string", option)
        self.end()
        return SendStep(self.number, data, comment, form, kind == "send-binary-lf")

    def _binary(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text if text.isalnum() else "x")
        except ValueError:
            self.fail(f"'{text}' is no binary string: an even number of hex digits")

    def pattern(self, match: Match) -> dict[str, Any]:
        text = self.value("a pattern", match)
        if match in (Match.STRING_FORMAT, Match.BINARY_FORMAT):
            return {"pattern": b"", "form": self.format(text)}
        if match is Match.BINARY:
            return {"pattern": self._binary(text)}
        return {"pattern": text.encode() if match is Match.STRING else self.regex(text)}
