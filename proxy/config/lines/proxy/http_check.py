"""`option httpchk` and `http-check ...`: health checks that speak HTTP (manual section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.proxy.check_rule import SETTERS, RuleReader, rule_kind
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement
from proxy.config.model.checks import (
    ConnectStep,
    HttpCheck,
    HttpExpectStep,
    HttpRequest,
    HttpSendStep,
    Match,
    SetStep,
    TextMatch,
)
from proxy.config.model.rules import FormatText
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of
from shm.check_status import CheckStatus

_FLAGS = {"disable-on-404": "disable_on_404", "send-state": "send_state"}
_KINDS = (*_FLAGS, "comment", "connect", "send", "expect", *SETTERS)
_MATCHES = (
    *(Match.STRING, Match.REGEX, Match.STATUS, Match.STATUS_REGEX),
    *(Match.HEADER, Match.FULL_HEADER, Match.STRING_FORMAT),
)
_BODY_MATCHES = (Match.STRING, Match.REGEX, Match.STRING_FORMAT)
_SEND_WORDS = ("comment", "meth", "uri", "uri-lf", "ver", "hdr", "body", "body-lf")
_FRAMING = ("content-length", "transfer-encoding")  # what the body says, and nothing else
_METHODS = ("str", "beg", "end", "sub", "reg")


def httpchk(statement: Statement, draft: ProxyDraft) -> None:
    """`option httpchk [[<method>] <uri> [<version>]]`; headers may follow the version's \\r\\n."""
    if len(statement.arguments) > 3:
        surplus = statement.arguments[3]
        raise ConfigError(f"'option httpchk' cannot handle unexpected argument '{surplus}'")
    first, second, third = (*statement.arguments, "", "", "")[:3]
    method, uri = (first, second) if second else ("", first)
    lines, _, body = third.partition("\r\n\r\n")
    version, _, head = lines.partition("\r\n")
    headers = _old_headers(head, statement)
    if version != third:
        statement.warn(
            "'option httpchk' : headers or a body behind the version are deprecated: "
            "use 'http-check send'"
        )
    request = HttpRequest(method or None, uri or None, version or None, headers, body)
    draft.check_option = HttpCheck(request)


def _old_headers(text: str, statement: Statement) -> tuple[tuple[str, FormatText], ...]:
    place = place_of(statement.context, statement.origin)
    reader = ValueReader(Scope.HTTP_CHECK, statement.context.environment, place=place)
    kept: list[tuple[str, FormatText]] = []
    for line in filter(None, text.split("\r\n")):
        name, colon, value = line.partition(":")
        if (
            not colon
            or not name.strip()
            or name[0] in " \t"
            or (name.lower() == "host" and _has_host(kept))
        ):
            raise ConfigError(f"'option httpchk' : '{line}' behind the version is no header")
        if name.lower() not in _FRAMING:
            try:
                kept.append((name, reader.text(value.strip())))
            except ConfigError as error:
                raise ConfigError(f"'option httpchk' : {error}") from error
    return tuple(kept)


def _has_host(headers: Sequence[tuple[str, FormatText]]) -> bool:
    return any(name.lower() == "host" for name, _ in headers)


def http_check(statement: Statement, draft: ProxyDraft) -> None:
    """One rule. The first of a section replaces the rules that it inherited."""
    kind = rule_kind(statement, _KINDS)
    if kind in _FLAGS:
        statement.skip(1).at_most(0)
        setattr(draft, _FLAGS[kind], True)
        draft.own_http_words = (*draft.own_http_words, kind)
        return
    draft.http_check.begin(statement.origin, draft.check_option)
    lines = draft.http_check.lines
    rule = _HttpRule(f"http-check {kind}", statement.skip(1), lines, Scope.HTTP_CHECK)
    steps = [step for step in draft.http_check.steps if not isinstance(step, SetStep)]
    rule.follows(kind, type(steps[-1]) if steps else None)
    if kind == "comment":
        lines.append(rule.comment())
    elif kind == "connect":
        lines.append(rule.connect())
    elif kind == "send":
        lines.append(rule.send())
    elif kind in SETTERS:
        lines.append(rule.variable())
    else:
        lines.append(rule.expect())
    rule.told_of_http(f"proxy '{draft.name}'")


class _HttpRule(RuleReader):
    def follows(self, kind: str, former: type | None) -> None:
        """Each connection has one request, and what is expected of its answer."""
        if former is None:
            return
        missing = {
            "send": "connect" if former is not ConnectStep else "",
            "expect": "send" if former is ConnectStep else "",
            "connect": "expect" if former is not HttpExpectStep else "",
        }.get(kind)
        if missing:
            self.fail(f"step {self.number} : there is no '{missing}' before it")

    def send(self) -> HttpSendStep:
        """The line `send`."""
        words: dict[str, Any] = {}
        headers: list[tuple[str, FormatText]] = []
        while self.words:
            option = self.words.pop(0)
            if option == "hdr":
                headers.append(self._header(headers))
            elif option.endswith("-lf") and option in _SEND_WORDS:
                words[option.removesuffix("-lf")] = self.text(self.value("a format", option))
            elif option in _SEND_WORDS:
                words[option] = self.value("a string", option)
            else:
                self.only(_SEND_WORDS, option)
        kept = tuple(pair for pair in headers if pair[0].lower() not in _FRAMING)
        request = HttpRequest(
            words.get("meth"), words.get("uri"), words.get("ver"), kept, words.get("body", "")
        )
        comment = words.get("comment", self.comment_before())
        return HttpSendStep(self.number, request, comment)

    def _header(self, others: list[tuple[str, FormatText]]) -> tuple[str, FormatText]:
        if len(self.words) < 2 or not self.words[0] or not self.words[1]:
            self.fail("'hdr' expects <name> and <value>")
        name, value = self.words.pop(0), self.words.pop(0)
        if name.lower() == "host" and _has_host(others):
            self.fail("'Host' header already defined")
        return name, self.text(value)

    def expect(self) -> HttpExpectStep:
        """The line `expect`."""
        given = self.expectation(_MATCHES)
        if given["match"] not in _BODY_MATCHES:
            given.setdefault("error_status", int(CheckStatus.L7STS))
        return HttpExpectStep(self.number, **given)

    def pattern(self, match: Match) -> dict[str, Any]:
        if match in (Match.HEADER, Match.FULL_HEADER):
            return self._header_patterns(match)
        text = self.value("a pattern", match)
        if match is Match.STRING_FORMAT:
            return {"pattern": b"", "form": self.format(text)}
        if match is Match.STATUS:
            return {"pattern": text.encode(), "ranges": self._ranges(text)}
        return {"pattern": text.encode() if match is Match.STRING else self.regex(text)}

    def _ranges(self, text: str) -> tuple[tuple[int, int], ...]:
        ranges = []
        for part in filter(None, text.split(",")):
            first, dash, last = part.partition("-")
            wrong = next((c for c in first + last if c not in "0123456789"), "")
            if wrong:
                self.fail(f"invalid character '{wrong}' in the list of status codes")
            if not first or (dash and (not last or int(last) < int(first))):
                self.fail(f"invalid range of status codes '{part}'")
            ranges.append((int(first), int(last or first)))
        return tuple(ranges)

    def _header_patterns(self, match: Match) -> dict[str, Any]:
        if self.words[:1] not in (["name"], ["name-lf"]) or len(self.words) < 2:
            self.fail(f"'{match}' expects 'name' and a pattern")
        word = self.words.pop(0)
        given: dict[str, Any] = {"name": self._text_match(match, word), "pattern": b""}
        if self.words[:1] in (["value"], ["value-lf"]):
            word = self.words.pop(0)
            given["value"] = self._text_match(match, word)
        return given

    def _text_match(self, match: Match, word: str) -> TextMatch:
        method = "str"
        if self.words[:1] == ["-m"]:
            self.words.pop(0)
            known = "', '".join(_METHODS)
            method = self.value(f"one of '{known}'", f"{match}' : '-m")
            if method not in _METHODS:
                self.fail(f"'{match}' : '-m' only supports '{known}' (got '{method}')")
        text = self.value("a pattern", match)
        if word.endswith("-lf"):
            if method == "reg":
                self.fail(
                    f"'{match}': log-format string is not supported with a regex matching method."
                )
            return TextMatch(self.format(text), method)
        if method == "reg":
            self.regex(text)
        return TextMatch(text, method)
