"""The rules of a section for one request: which of them decides, and what their formats say.

Owns the numbers under which conditions and formats of a section are compiled, and the facts of a
request that they look at. What a decision means is services.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.config.model.http import (
    Action,
    AuthQuestion,
    Denied,
    HttpSection,
    RedirectKind,
    RequestRule,
    formats_of,
)
from proxy.config.model.rules import Condition, FormatText
from proxy.control.http.connection import Addresses
from proxy.control.http.credentials import answers
from proxy.control.http.request import Request
from proxy.control.rows.service_counters import ServiceCounters
from proxy.lists.changing.kinds import Lists
from proxy.rules.formats import Formats
from proxy.rules.program import Conditions, Seen
from shm.segment import Segment


class Facts:
    """What conditions look at of one request; users are asked about at most once."""

    def __init__(self, request: Request, addresses: Addresses, authorised: int) -> None:
        self._authorised = authorised
        self._seen = Seen(
            request.method.encode("latin-1"),
            request.target,
            request.version.encode(),
            request.lines,
            addresses.client,
            addresses.front,
        )

    def satisfy(self, conditions: Conditions, number: int) -> bool:
        """Whether the condition with this number holds."""
        return conditions.holds(number, self._seen, authorised=self._authorised)

    def write(self, formats: Formats, number: int) -> bytes | None:
        """What the format with this number says; None: it is too long."""
        return formats.answer(number, self._seen, authorised=self._authorised)


_NO_REQUEST = Request("", "", "", "", {})  # before there is one


class TooLongError(Exception):
    """A format says more than a header or a body can have."""


class SectionRules:
    """The conditions of one section, compiled."""

    def __init__(
        self,
        section: HttpSection,
        segment: Segment,
        lists: Lists = (),
        process: int = 0,
        counters: ServiceCounters | None = None,
    ) -> None:
        """`lists` are those of the settings; `process`: the id that `%pid` tells.

        `counters` count what each rule does.
        """
        self._counters = counters or ServiceCounters()
        forms = list(dict.fromkeys(formats_of(section)))
        self._formats = Formats(segment, forms, process=process, lists=lists) if forms else None
        self._forms = {form: number for number, form in enumerate(forms)}
        every = list(_conditions(section))
        self._section = section
        self._conditions = Conditions(segment, every, lists)
        self._numbers = {id(condition): number for number, condition in enumerate(every)}
        self._users = () if section.users is None else (section.users,)

    async def facts(self, request: Request, addresses: Addresses) -> Facts:
        """The facts of a request."""
        questions: Sequence[AuthQuestion] = self._section.questions
        return Facts(request, addresses, await answers(questions, request))

    def denial(self, addresses: Addresses) -> Denied | None:
        """How a client counts that the rules of connections keep out; None: it may ask."""
        if not self._section.admission:
            return None
        facts = Facts(_NO_REQUEST, addresses, 0)
        for stage in self._section.admission:
            rule = next((r for r in stage.rules if self._holds(r.condition, facts)), None)
            if rule is not None and rule.rejects:
                return stage.denied
        return None

    async def is_known(self, request: Request) -> bool:
        """Whether the request is of one of the users of `stats auth`; True without any."""
        return not self._users or bool(await answers(self._users, request))

    def fails(self, facts: Facts) -> bool:
        """Whether `monitor fail` says so."""
        return any(self._holds(condition, facts) for condition in self._section.monitor_fail)

    def deciding(self, facts: Facts) -> RequestRule | None:
        """The rule of `http-request` that answers; `allow` ends its own set of rules only."""
        for ruleset in self._section.rulesets:
            rule = self.decisive(ruleset, facts)
            if rule is not None and rule.action is not Action.ALLOW:
                return rule
        return None

    def redirecting(self, facts: Facts) -> RequestRule | None:
        """The first `redirect` line whose condition holds."""
        return self.decisive(self._section.redirects, facts)

    def decisive(self, rules: Sequence[RequestRule], facts: Facts) -> RequestRule | None:
        """The first rule whose condition holds; it counts."""
        found = next(
            (
                rule
                for rule in rules
                if self._holds(rule.condition, facts) and not self._leads_on(rule, facts)
            ),
            None,
        )
        if found is not None:
            self._counters.acted(found)
        return found

    def written(self, text: FormatText, facts: Facts) -> bytes:
        """What a text says; raises TooLongError."""
        if isinstance(text, str):
            return text.encode(errors="surrogateescape")
        assert self._formats is not None, "a section with a format has them compiled"
        said = facts.write(self._formats, self._forms[text])
        if said is None:
            raise TooLongError
        return said

    def _leads_on(self, rule: RequestRule, facts: Facts) -> bool:
        """Whether a redirect with `ignore-empty` says no address; one too long says one."""
        redirect = rule.redirect
        if redirect is None or not redirect.ignore_empty:
            return False
        if redirect.kind is not RedirectKind.LOCATION:
            return False
        try:
            return not self.written(redirect.value, facts)
        except TooLongError:
            return False

    def holds(self, condition: Condition, facts: Facts) -> bool:
        """Whether one of the section's conditions holds."""
        return self._holds(condition, facts)

    def _holds(self, condition: Condition | None, facts: Facts) -> bool:
        return condition is None or facts.satisfy(self._conditions, self._numbers[id(condition)])


def _conditions(section: HttpSection) -> Iterator[Condition]:
    for stage in section.admission:
        yield from (rule.condition for rule in stage.rules if rule.condition is not None)
    yield from section.monitor_fail
    yield from (rule.condition for rule in section.rules if rule.condition is not None)
    if section.page is not None and section.page.admin is not None:
        yield section.page.admin
