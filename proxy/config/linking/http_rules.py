"""Rules for requests: their lines to settings (manual section 4.2, `http-request`).

Owns the actions that a section in mode http honours, and the words of a redirect. Any other line is
refused: it could keep a client out. Reads drafts, changes none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

import msgspec

from proxy.config.http_drafts import RuleLine, written
from proxy.config.lines.rules.condition import (
    BEGINNINGS,
    Clauses,
    flattened,
    parse_clauses,
)
from proxy.config.lines.rules.fetches import FETCHES, Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.linking.http_replies import ReplyWords
from proxy.config.linking.rules.conditions import ConditionLinker, ValueLinker
from proxy.config.model.http import (
    REALM_DEFAULT,
    Action,
    Redirect,
    RedirectKind,
    RequestRule,
)
from proxy.config.model.rules import Condition, FormatText
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError

SERVICE = "prometheus-exporter"
STATUSES = ("301", "302", "303", "307", "308")
_KINDS = {kind.value: kind for kind in RedirectKind}
_Change = Callable[[Redirect], Redirect]
_FLAGS: dict[str, _Change] = {
    "drop-query": lambda known: msgspec.structs.replace(known, drop_query=True),
    "append-slash": lambda known: msgspec.structs.replace(known, append_slash=True),
    "ignore-empty": lambda known: msgspec.structs.replace(known, ignore_empty=True),
}
_COOKIES = {"set-cookie": "{}; path=/;", "clear-cookie": "{}; path=/; Max-Age=0;"}
_HONOURED = (
    "it honours 'allow', 'deny', 'return', 'auth', 'redirect' and 'use-service prometheus-exporter'"
)


class RequestRuleReader:
    """Reads the rules of one section; each sees the `acl` lines of the section that it is in."""

    def __init__(
        self, linker: ConditionLinker, values: ValueLinker, warn: Callable[[str, Origin], None]
    ) -> None:
        self._linker = linker
        self._values = values
        self._warn = warn

    def condition(self, line: RuleLine, words: Sequence[str], what: str) -> Condition | None:
        """What follows the action; None without a condition. Raises ConfigError."""
        if not words:
            return None
        if words[0] not in BEGINNINGS:
            raise ConfigError(
                f"'{what}' expects either 'if' or 'unless' followed by a condition but found "
                f"'{words[0]}'"
            )
        origin = line.origin
        self._linker.environment = line.environment
        try:
            clauses = parse_clauses(
                origin,
                words[1:],
                line.lists,
                lambda text: self._warn(text, origin),
                line.place,
            )
            _check_requests(clauses)
            return flattened(clauses, self._linker.term, unless=words[0] == "unless")
        except ConfigError as error:
            raise ConfigError(f"'{what}' condition : {error}") from error

    def needed(self, line: RuleLine, words: Sequence[str], what: str) -> Condition:
        """The condition of a word that has to have one."""
        found = self.condition(line, words, what)
        if found is None:
            raise ConfigError(f"'{what}' requires either 'if' or 'unless' followed by a condition")
        return found

    def rule(self, line: RuleLine, before: str = "") -> RequestRule:
        """The rule of a line; `before` is what stands before its words. Raises ConfigError."""
        keyword, action, *rest = (*line.words, "")
        rest = rest[:-1] if action else []
        what = f"{before}{keyword} {action}"
        known = _READERS if not before else _READERS.keys() & _OF_STATISTICS
        if keyword == "http-request" and action in known:
            found = _READERS[action](self, line, rest, what)
            if found is not None:
                return _from(line, found, before)
        raise ConfigError(
            f"'{before}{line.text}' is not supported yet in a section that serves statistics or "
            f"answers by itself: {_HONOURED}; keep others out by the address in 'bind' or by the "
            "packet filter of the host"
        )

    def redirect(self, line: RuleLine) -> RequestRule:
        """The rule of a `redirect` line, which has no formats."""
        found, rest = redirect_of(line.words[1:], str)
        condition = self.condition(line, rest, "redirect")
        return _from(line, RequestRule(Action.REDIRECT, condition, redirect=found))

    def _redirect(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule:
        found, rest = redirect_of(tuple(words), partial(self._text, line))
        return RequestRule(Action.REDIRECT, self.condition(line, rest, what), redirect=found)

    def _text(self, line: RuleLine, text: str, status: str = "-1") -> FormatText:
        """What a format says, or will say; ConfigError."""
        found = ValueReader(Scope.ANSWER, line.environment, status, line.place).text(text)
        return self._values.format(found) if isinstance(found, tuple) else found

    def _allow(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule:
        return RequestRule(Action.ALLOW, self.condition(line, words, what))

    def _auth(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule:
        realm = REALM_DEFAULT
        if words and words[0] == "realm":
            if len(words) < 2:
                raise ConfigError(f"'{what}' : missing realm value")
            realm, words = words[1], words[2:]
        return RequestRule(Action.AUTH, self.condition(line, words, what), realm=realm)

    def _metrics(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule | None:
        if not words or words[0] != SERVICE:
            return None
        return RequestRule(Action.METRICS, self.condition(line, words[1:], f"{what} {SERVICE}"))

    def _deny(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule:
        return self._answering(line, words, what, Action.DENY, HTTPStatus.FORBIDDEN)

    def _return(self, line: RuleLine, words: Sequence[str], what: str) -> RequestRule:
        return self._answering(line, words, what, Action.RETURN, HTTPStatus.OK)

    def _answering(
        self, line: RuleLine, words: Sequence[str], what: str, action: Action, status: HTTPStatus
    ) -> RequestRule:
        origin = line.origin
        reader = ReplyWords(
            words,
            what,
            status.value,
            partial(self._text, line),
            lambda text: self._warn(text, origin),
        )
        reply = reader.reply()
        condition = self.condition(line, reader.rest, what)
        return RequestRule(action, condition, status=reader.status, reply=reply)


_OF_STATISTICS = frozenset({"allow", "auth", "deny"})  # `stats http-request`
_Reader = Callable[[RequestRuleReader, RuleLine, Sequence[str], str], RequestRule | None]
_READERS: dict[str, _Reader] = {
    "allow": RequestRuleReader._allow,
    "auth": RequestRuleReader._auth,
    "deny": RequestRuleReader._deny,
    "redirect": RequestRuleReader._redirect,
    "return": RequestRuleReader._return,
    "use-service": RequestRuleReader._metrics,
}


def _from(line: RuleLine, rule: RequestRule, before: str = "") -> RequestRule:
    """A rule that knows its line."""
    return msgspec.structs.replace(rule, text=before + written(line.words), origin=line.origin)


def redirect_of(
    words: tuple[str, ...], read: Callable[[str], FormatText]
) -> tuple[Redirect, tuple[str, ...]]:
    """The redirect, and the words of its condition; raises ConfigError.

    `read` makes a text of the address as it is written.
    """
    found = Redirect(RedirectKind.LOCATION, "")
    while words and words[0] not in BEGINNINGS:
        word, words = words[0], words[1:]
        if word in _FLAGS:
            found = _FLAGS[word](found)
            continue
        if word != "code" and word not in _KINDS and word not in _COOKIES:
            expected = "', '".join(("code", *_KINDS, *_COOKIES, *_FLAGS))
            raise ConfigError(f"redirect rule : expects '{expected}' (was '{word}')")
        if not words or not words[0]:
            raise ConfigError(f"redirect rule : missing argument for '{word}'")
        found, words = _with(found, word, words[0], read), words[1:]
    if not found.value:
        raise ConfigError(
            "redirect rule : redirection type expected ('prefix', 'location', or 'scheme')"
        )
    return found, words


def _with(known: Redirect, word: str, value: str, read: Callable[[str], FormatText]) -> Redirect:
    if word == "code":
        if value not in STATUSES:
            raise ConfigError(
                f"redirect rule : unsupported HTTP code '{value}' (must be one of "
                f"{', '.join(STATUSES)})"
            )
        return msgspec.structs.replace(known, status=int(value))
    if word in _COOKIES:
        return msgspec.structs.replace(known, cookie=_COOKIES[word].format(value))
    try:
        return msgspec.structs.replace(known, kind=_KINDS[word], value=read(value))
    except ConfigError as error:
        raise ConfigError(f"redirect rule : {error}") from error


def _check_requests(clauses: Clauses) -> None:
    """ConfigError for what a request does not tell a section that answers itself."""
    expressions = (each for clause in clauses for literal in clause for each in literal.expressions)
    for expression in expressions:
        word = re.split("[(,]", expression.word)[0]
        if not FETCHES[word].scope & Scope.REQUEST:
            raise ConfigError(f"'{word}' is not supported in a section that answers itself")
