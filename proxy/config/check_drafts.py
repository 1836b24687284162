"""The rules of health checks while they are being read, and what a section inherits of them."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from proxy.config.model.checks import CheckRules
from proxy.config.model.settings import Origin

AnyStep = TypeVar("AnyStep")


class RulesDraft(msgspec.Struct, Generic[AnyStep]):
    """The lines of `tcp-check` or `http-check` in order; a str is a comment."""

    lines: list[AnyStep | str] = []
    from_defaults: bool = False  # the first line of the section's own replaces them
    origins: list[Origin] = []  # of each line
    option: CheckRules | None = None  # in force where the last line stands

    @property
    def steps(self) -> list[AnyStep]:
        """The lines that do something."""
        return [line for line in self.lines if not isinstance(line, str)]

    def inherited(self, in_force: bool) -> RulesDraft[AnyStep]:
        """What a section gets: HAProxy passes rules on only together with their option."""
        kept = RulesDraft(list(self.lines), from_defaults=True, origins=list(self.origins))
        return kept if in_force else RulesDraft(from_defaults=True)

    @property
    def origin(self) -> Origin:
        """That of the last line."""
        return self.origins[-1] if self.origins else Origin()

    def begin(self, origin: Origin, option: CheckRules | None) -> None:
        """A line of the section's own is read, behind the lines that have led to `option`."""
        self.option = option
        if self.from_defaults:
            self.lines, self.from_defaults = [], False
        del self.origins[len(self.lines) :]  # of a line with an error
        self.origins.append(origin)
