"""Sections that answer requests themselves: all their lines to one `HttpSection`.

Owns what of a frontend and of the backend behind it counts, and which `errorfile` is used. Reads
drafts and the files that their lines name; changes no draft.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.http_drafts import ErrorFile, HttpDraft, RuleLine
from proxy.config.linking.http_replies import reply_in
from proxy.config.linking.http_rules import RequestRuleReader
from proxy.config.linking.rules.admission import admission_of
from proxy.config.linking.rules.conditions import ConditionLinker, SectionIndex, ValueLinker
from proxy.config.model.http import (
    REALM_DEFAULT,
    Action,
    AuthQuestion,
    HttpSection,
    RequestRule,
    StatsPage,
    WrittenReply,
    formats_of,
)
from proxy.config.model.matching import Matcher
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError, Messages

Linked = TypeVar("Linked")
REDIRECT = "redirect"
METRICS_PATH = "/metrics"  # where a scraper looks that is told nothing else


class SectionLinker:
    """Links one section: `front` has the clients, `shown` the statistics; often they are one."""

    def __init__(
        self, front: ProxyDraft, shown: ProxyDraft, directory: SectionIndex, messages: Messages
    ) -> None:
        http = front.mode == "http"  # in mode tcp its own lines about requests mean nothing
        self._front = front.http if http else HttpDraft()
        own = (front,) if http or front is shown else ()
        self._drafts = own if front is shown else (*own, shown)
        self._shown = shown
        self._messages = messages
        self._admitting = tuple({id(draft): draft for draft in (front, shown)}.values())
        self._linker = ConditionLinker(directory, front.name)
        self._directory = directory
        self._front_name = front.name

    def section(self, node: str, description: str) -> HttpSection:
        """The settings; messages have an alert for each line that is not honoured.

        `node` and `description` are those of the global section.
        """
        rulesets = tuple(tuple(self._rules(draft)) for draft in self._drafts)
        page = self._page(node, description)
        fails = self._each(
            self._shown,
            self._front.monitor_fail,
            lambda reader, line: reader.needed(line, line.words[2:], "monitor fail"),
        )
        stats = self._shown.http.stats
        section = HttpSection(
            page=page,
            admission=admission_of(self._admitting, self._linker.term, self._messages),
            monitor_uri=self._front.monitor_uri,
            monitor_fail=tuple(fails),
            rulesets=tuple(filter(None, rulesets)),
            redirects=tuple(
                redirect for draft in self._drafts for redirect in self._redirects(draft)
            ),
            users=AuthQuestion(stats.users) if stats.users else None,
            realm=REALM_DEFAULT if stats.realm is None else stats.realm,
            questions=tuple(self._linker.questions),
            metrics_path=next(filter(None, map(_metrics_path, chain(*rulesets))), None),
        )
        replies = dict(self._replies(statuses(section)))
        return msgspec.structs.replace(section, replies=replies)

    def _each(
        self,
        draft: ProxyDraft,
        lines: tuple[RuleLine, ...],
        read: Callable[[RequestRuleReader, RuleLine], Linked],
    ) -> Iterator[Linked]:
        """What the lines of a section say, and alerts."""
        values = ValueLinker(
            self._directory, draft.name, 0, front=self._front_name, serves=draft.kind.serves
        )
        reader = RequestRuleReader(self._linker, values, self._warn)
        for line in lines:
            try:
                yield read(reader, line)
            except ConfigError as error:
                self._messages.alert(str(error), line.origin)

    def _warn(self, text: str, origin: Origin) -> None:
        self._messages.warning(text, origin)

    def _rules(self, draft: ProxyDraft) -> Iterator[RequestRule]:
        lines = tuple(line for line in draft.http.rules if line.words[0] != REDIRECT)
        return self._each(draft, lines, lambda reader, line: reader.rule(line))

    def _redirects(self, draft: ProxyDraft) -> Iterator[RequestRule]:
        lines = tuple(line for line in draft.http.rules if line.words[0] == REDIRECT)
        return self._each(draft, lines, lambda reader, line: reader.redirect(line))

    def _page(self, node: str, description: str) -> StatsPage | None:
        stats = self._shown.http.stats
        if not stats.enabled or stats.uri is None:
            return None
        admin = self._each(
            self._shown,
            () if stats.admin is None else (stats.admin,),
            lambda reader, line: reader.needed(line, line.words[2:], "stats admin"),
        )
        if stats.rules and (stats.users or stats.realm is not None):
            self._messages.alert(
                "stats 'auth'/'realm' and 'http-request' can't be used at the same time.",
                stats.rules[0].origin,
            )
        rules = self._each(
            self._shown, stats.rules, lambda reader, line: reader.rule(line, "stats ")
        )
        names = (self._shown.name if name == "." else name for name in stats.scope)
        return StatsPage(
            uri=stats.uri,
            show_legends=stats.show_legends,
            hide_version=stats.hide_version,
            refresh_seconds=stats.refresh_seconds,
            node=None if stats.node is None else stats.node or node,
            description=None if stats.description is None else stats.description or description,
            scope=frozenset(names),
            rules=tuple(rules),
            admin=next(admin, None),
        )

    def _replies(self, wanted: frozenset[int]) -> Iterator[tuple[int, WrittenReply]]:
        for status, file in sorted(self._error_files().items()):
            if status in wanted:
                try:
                    yield status, reply_in(file.path)
                except ConfigError as error:
                    self._messages.alert(f"'errorfile' : {error}", file.origin)

    def _error_files(self) -> dict[int, ErrorFile]:
        return {
            status: file
            for draft in self._drafts
            for status, file in draft.http.error_files.items()
        }

    def unused_files(self, section: HttpSection) -> list[str]:
        """`errorfile` lines of statuses that the section never answers with, for a notice."""
        wanted = statuses(section)
        return [f"'errorfile {status}'" for status in self._error_files() if status not in wanted]


def statuses(section: HttpSection) -> frozenset[int]:
    """The statuses of the answers that a section makes, and not its page, metrics or a reply."""
    rules = (*chain(*section.rulesets), *(section.page.rules if section.page else ()))
    found = {rule.status for rule in rules if rule.status and rule.reply is None}
    if section.monitor_uri is not None:
        found.add(200)
    if any(formats_of(section)):
        found.add(500)
    if section.users is not None or any(rule.action is Action.AUTH for rule in rules):
        found.add(401)
    return frozenset(found | {503})


def _metrics_path(rule: RequestRule) -> str | None:
    """A path on which a rule serves metrics, if one is to be seen; None."""
    if rule.action is not Action.METRICS:
        return None
    if rule.condition is None:
        return METRICS_PATH
    for term in rule.condition.terms:
        if term.fetch == "path" and term.matcher in (Matcher.STR, Matcher.BEG) and term.pattern:
            return term.pattern.encode(errors="surrogateescape").decode(errors="replace")
    return None
