"""The rules of health checks when all sections are known: names and variables to numbers.

Owns the errors about names that there are not. Changes no draft.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.linking.rules.conditions import SectionIndex, ValueLinker
from proxy.config.model.checks import (
    CheckRules,
    ConnectStep,
    ExpectStep,
    HttpCheck,
    HttpExpectStep,
    HttpRequest,
    HttpSendStep,
    SendStep,
    SetStep,
    TcpCheck,
    TextMatch,
)
from proxy.config.text.messages import ConfigError, Messages


class CheckRuleLinker:
    """Links the rules of one section."""

    def __init__(self, directory: SectionIndex, name: str, number: int) -> None:
        """`name` and `number` are the section's own, its id."""
        self._values = ValueLinker(directory, name, number)

    def rules(self, rules: CheckRules | None) -> CheckRules | None:
        """The rules with all numbers; ConfigError for a name that there is not."""
        if not isinstance(rules, TcpCheck | HttpCheck):
            return rules
        steps: Any = tuple(map(self.step, rules.steps))
        return msgspec.structs.replace(rules, steps=steps, variables=len(self._values.variables))

    def step(self, step: Any) -> Any:
        """A step, of whichever kind, with all numbers; ConfigError."""
        if isinstance(step, SendStep):
            return msgspec.structs.replace(step, form=self._values.format(step.form))
        if isinstance(step, HttpSendStep):
            return msgspec.structs.replace(step, request=self._request(step.request))
        if isinstance(step, HttpExpectStep):
            step = msgspec.structs.replace(
                step, name=self._match(step.name), value=self._match(step.value)
            )
        if isinstance(step, ConnectStep):
            return msgspec.structs.replace(step, port_value=self._values.value(step.port_value))
        if isinstance(step, SetStep):
            return msgspec.structs.replace(
                step,
                place=self._values.variable(step.variable),
                value=self._values.value(step.value),
                form=None if step.form is None else self._values.format(step.form),
            )
        if isinstance(step, ExpectStep):
            return msgspec.structs.replace(
                step,
                on_success=self._values.text(step.on_success),
                on_error=self._values.text(step.on_error),
                form=self._values.format(step.form),
                status_code=self._values.value(step.status_code),
            )
        return step

    def _request(self, request: HttpRequest) -> HttpRequest:
        return msgspec.structs.replace(
            request,
            uri=self._values.text(request.uri),
            headers=tuple((name, self._values.text(value)) for name, value in request.headers),
            body=self._values.text(request.body),
        )

    def _match(self, match: TextMatch | None) -> TextMatch | None:
        return match and msgspec.structs.replace(match, pattern=self._values.text(match.pattern))


def check_names(draft: ProxyDraft, directory: SectionIndex, messages: Messages) -> None:
    """Add an alert for a name in the rules of a section that there is not."""
    rules = draft.check_rules
    if not isinstance(rules, TcpCheck | HttpCheck):
        return
    linker = CheckRuleLinker(directory, draft.name, 0)
    word = "tcp-check" if isinstance(rules, TcpCheck) else "http-check"
    lines = draft.tcp_check if isinstance(rules, TcpCheck) else draft.http_check
    for step in rules.steps:
        try:
            linker.step(step)
        except ConfigError as error:
            origin = lines.origins[step.number - 1] if step.number else draft.origin
            messages.alert(f"{word} of {draft.title} : {error}", origin)
