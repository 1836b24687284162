"""What `tcp-check expect` makes of the bytes so far: wait, match or mismatch. Pure.

Owns the rules of waiting: bytes are judged once there are enough of them, and what does not match
yet may still come, unless nothing comes any more or `min-recv` says that it is enough.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from proxy.config.model.checks import ExpectStep, Match
from proxy.health.dialect.seam import RECEIVED_MAX
from proxy.patterns import Pattern

Find = Callable[[bytes], bool]


class Verdict(enum.Enum):
    """What the bytes so far say."""

    WAIT = enum.auto()
    AS_EXPECTED = enum.auto()
    OTHERWISE = enum.auto()


class Expectation:
    """One `expect` step, compiled."""

    def __init__(self, step: ExpectStep) -> None:
        self.step = step
        fixed = step.match in (Match.STRING, Match.BINARY)
        self.form = step.form
        self._find = _finder(step)
        self._bytes_first = max(1, len(step.pattern) if fixed else 1, step.bytes_min or 0)
        self.asked = _asked(step)

    def missing(self, data: bytes) -> int:
        """How many more bytes it takes before a judgement, 0 for none."""
        return max(0, min(self._bytes_first, RECEIVED_MAX) - len(data))

    def judge(self, data: bytes, *, last: bool, wanted: bytes = b"") -> Verdict:
        """What `data` says; `last`: no more will come, or there is no room for it.

        `wanted`: what the step's format says, if it has one.
        """
        if not last and self.missing(data):
            return Verdict.WAIT
        found = wanted in data if self.form else self._find(data)
        if not found and not last and self.step.bytes_min is None:
            return Verdict.WAIT
        return Verdict.AS_EXPECTED if found != self.step.negated else Verdict.OTHERWISE

    def complaint(self) -> str:
        """What is wrong with bytes that are otherwise, without the step's number."""
        what = "matched unwanted content" if self.step.negated else "did not match content"
        return f"TCPCHK {what} {_PATTERNS[Match(self.step.match)](self.step)}"


def text_of(pattern: bytes) -> str:
    """A pattern in messages, up to a NUL, as HAProxy has it."""
    return pattern.partition(b"\0")[0].decode(errors="surrogateescape")


_PATTERNS: dict[Match, Callable[[ExpectStep], str]] = {
    Match.STRING: lambda step: f"'{text_of(step.pattern)}'",
    Match.BINARY: lambda _: "(binary)",
    Match.STRING_FORMAT: lambda _: "(log-format string)",
    Match.BINARY_FORMAT: lambda _: "(log-format binary)",
    Match.REGEX: lambda _: "(regex)",
    Match.BINARY_REGEX: lambda _: "(binary regex)",
}


def _asked(step: ExpectStep) -> str:
    """What is expected, as messages about an answer that does not come have it."""
    if step.match == Match.REGEX:
        return "expect regex"
    if step.match == Match.BINARY_REGEX:
        return "expect binary regex"
    if step.form:
        what = "string" if step.match == Match.STRING_FORMAT else "binary"
        return f"expect log-format {what}"
    return f"expect {step.match} '{text_of(step.pattern)}'"


def _finder(step: ExpectStep) -> Find:
    if step.form or step.match in (Match.STRING, Match.BINARY):
        return lambda data: step.pattern in data
    pattern = Pattern(step.pattern)
    if step.match == Match.REGEX:
        # HAProxy looks at one byte less than its buffer has
        return lambda data: pattern.found_in(data[: RECEIVED_MAX - 1])
    # of digits its buffer has no more
    return lambda data: pattern.found_in(data[: RECEIVED_MAX // 2 - 1].hex().upper().encode())
