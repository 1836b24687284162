"""The formats of one section's rules for checks, compiled, and what one check makes of them.

Owns the numbers under which formats and values are compiled (proxy/rules/program.pyx). A section
without any has none of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proxy.config.model.checks import (
    ConnectStep,
    ExpectStep,
    HttpExpectStep,
    HttpSendStep,
    HttpStep,
    SendStep,
    SetStep,
    Step,
)
from proxy.config.model.rules import Format, FormatText, Value
from proxy.lists.changing.kinds import Lists
from proxy.rules.formats import CheckFacts, Formats
from shm.check_status import CODES
from shm.segment import Segment

OF_CONNECTION = frozenset({"bc_src", "bc_src_port", "bc_dst", "bc_dst_port"})
PORTS = 1 << 16


class Forms:
    """The formats and values of a ruleset; all its checks share them."""

    def __init__(
        self,
        steps: Sequence[Step | HttpStep],
        variables: int,
        segment: Segment,
        process: int,
        lists: Lists = (),
        *,
        row: int = 0,
    ) -> None:
        """`process`: the id that `%pid` tells; `lists` are those of the settings.

        `row` is where variables of the program are set (shm/variables.pxd).

        IndexError for a variable beyond `variables`.
        """
        formats = list(dict.fromkeys(_formats(steps)))
        values = list(dict.fromkeys(_values(steps)))
        self.variables = variables
        self.compiled = Formats(segment, formats, values, process, lists, row)
        self.numbers = {form: number for number, form in enumerate(formats)}
        self.values = {value: number for number, value in enumerate(values)}
        parts = (part.value for form in formats for part in form)
        self.tells_ends = any(
            value is not None and value.fetch in OF_CONNECTION for value in (*values, *parts)
        )

    def begin(self, slot: int, name: bytes, number: int) -> Writer:
        """For one check of a server; `number` is its id."""
        return Writer(self, CheckFacts(slot, name, number, self.variables))


class Writer(NamedTuple):
    """What the formats of one check say, with its variables."""

    forms: Forms
    facts: CheckFacts

    def text(self, form: FormatText) -> bytes:
        """What a format says now, at most 16,383 bytes."""
        if isinstance(form, str):
            return form.encode(errors="surrogateescape")
        return self.forms.compiled.text(self.forms.numbers[form], self.facts)

    def number(self, value: Value) -> int | None:
        """What a value is as a number; None: there is none."""
        return self.forms.compiled.number(self.forms.values[value], self.facts)

    def set(self, step: SetStep) -> None:
        """Set a variable, or let it have no value."""
        compiled, facts = self.forms.compiled, self.facts
        if step.place < 0:
            return
        if step.value is not None:
            compiled.assign(self.forms.values[step.value], step.place, facts, when=step.when)
        elif step.form is not None:
            compiled.assign_format(self.forms.numbers[step.form], step.place, facts, when=step.when)
        else:
            compiled.forget(step.place, facts)

    def code(self, value: Value) -> int | None:
        """The code of a check: what 16 bits hold of a number, as in HAProxy; None without one."""
        number = self.number(value)
        return None if number is None else number % CODES

    def port(self, value: Value) -> int | None:
        """A port of 16 bits; None for none, and for 0."""
        number = self.number(value)
        return number % PORTS or None if number is not None else None


def forms_of(
    steps: Sequence[Step | HttpStep],
    variables: int,
    segment: Segment | None,
    process: int,
    lists: Lists = (),
    *,
    row: int = 0,
) -> Forms | None:
    """The formats of a ruleset; None where it has none."""
    has_any = any(_formats(steps)) or any(True for _ in _values(steps))
    if not has_any and not any(isinstance(step, SetStep) for step in steps):
        return None
    assert segment is not None, "formats are run by processes with a segment"
    return Forms(steps, variables, segment, process, lists, row=row)


def _formats(steps: Sequence[Step | HttpStep]) -> Iterator[Format]:
    for step in steps:
        if isinstance(step, SendStep | SetStep | ExpectStep) and step.form:
            yield step.form
        if isinstance(step, ExpectStep):
            yield from _written(step.on_success, step.on_error)
        if isinstance(step, HttpExpectStep):
            yield from _written(*(match.pattern for match in (step.name, step.value) if match))
        if isinstance(step, HttpSendStep):
            request = step.request
            values = (value for _, value in request.headers)
            yield from _written(request.uri, request.body, *values)


def _written(*texts: FormatText | None) -> Iterator[Format]:
    for text in texts:
        if isinstance(text, tuple):
            yield text


def _values(steps: Sequence[Step | HttpStep]) -> Iterator[Value]:
    for step in steps:
        found: Value | None = None
        if isinstance(step, ConnectStep):
            found = step.port_value
        elif isinstance(step, SetStep):
            found = step.value
        elif isinstance(step, ExpectStep):
            found = step.status_code
        if found is not None:
            yield found
