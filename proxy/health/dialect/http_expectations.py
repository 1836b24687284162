"""What `http-check expect` makes of a response so far: wait, match or mismatch. Pure.

Owns the rules of waiting: a status and header fields are judged when the head is there, a body once
there is enough of it; what does not match yet may still come, unless nothing comes any more or
`min-recv` says that it is enough.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxy.config.model.checks import HttpExpectStep, Match, TextMatch
from proxy.config.model.rules import FormatText
from proxy.health.dialect.expectations import Verdict
from proxy.health.dialect.http_response import HttpReply
from proxy.patterns import Pattern

Find = Callable[[bytes], bool]
_BODY = (Match.STRING, Match.REGEX, Match.STRING_FORMAT)
# To look up a member of an enumeration takes longer than to judge a status.
WAIT, AS_EXPECTED, OTHERWISE = Verdict.WAIT, Verdict.AS_EXPECTED, Verdict.OTHERWISE


class HttpExpectation:
    """One `expect` step, compiled."""

    def __init__(self, step: HttpExpectStep) -> None:
        self.step = step
        self.looks_at_body = step.match in _BODY
        self._by_status = step.match == Match.STATUS
        self._find = _finder(step)
        self._find_value = _text_finder(step.value) if step.value is not None else None
        fixed = step.match == Match.STRING
        self._bytes_first = max(len(step.pattern) if fixed else 0, step.bytes_min or 0)
        texts = (step.name, step.value)
        self.has_forms = bool(step.form) or any(  # formats say what is wanted
            text is not None and isinstance(text.pattern, tuple) for text in texts
        )

    def filled(self, write: Callable[[FormatText], bytes]) -> HttpExpectation | None:
        """The same with what its formats say now; None where one of them says nothing."""
        said: dict[str, TextMatch | bytes] = {}
        for field, match in (("name", self.step.name), ("value", self.step.value)):
            if match is not None and isinstance(match.pattern, tuple):
                pattern = write(match.pattern).decode(errors="surrogateescape")
                if not pattern:
                    return None
                said[field] = msgspec.structs.replace(match, pattern=pattern)
        if self.step.form:
            said["pattern"] = write(self.step.form)
            if not said["pattern"]:
                return None
        return HttpExpectation(msgspec.structs.replace(self.step, **said))

    def judge(self, response: HttpReply, *, last: bool) -> Verdict:
        """What a response says whose head is there; `last`: no more will come."""
        step = self.step
        if self.looks_at_body:
            whole = last or response.complete
            size = len(response.body)
            if not whole and (size == 0 or size < self._bytes_first):
                return WAIT
            if size == 0:
                return OTHERWISE  # also where it says what must not be there
            found = self._find(bytes(response.body))
            if not found and not whole and step.bytes_min is None:
                return WAIT
        else:
            found = self._look(response)
        return AS_EXPECTED if found != step.negated else OTHERWISE

    def complaint(self, response: HttpReply) -> str:
        """What is wrong with a response that is otherwise."""
        if not self.looks_at_body:
            return response.reason.decode(errors="surrogateescape")
        if not response.body:
            return "HTTP content check could not find a response body"
        if self.step.negated:
            return "HTTP check matched unwanted content"
        return "HTTP content check did not match"

    def _look(self, response: HttpReply) -> bool:
        if self._by_status:
            code = response.code or 0
            return any(first <= code <= last for first, last in self.step.ranges)
        if self.step.match == Match.STATUS_REGEX:
            return self._find(response.status)
        return self._has_field(response)

    def _has_field(self, response: HttpReply) -> bool:
        find_value = self._find_value
        for name, text in response.fields:
            if not self._find(name):
                continue
            if find_value is None:
                return True
            parts = elements(text) if self.step.match == Match.HEADER else [text]
            if any(find_value(part) for part in parts):
                return True
        return False


def elements(text: bytes) -> list[bytes]:
    """The elements of a list: commas between quotes do not separate."""
    found, begin, quoted, escaped = [], 0, False, False
    for at, byte in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and byte == ord("\\"):
            escaped = True
        elif byte == ord('"'):
            quoted = not quoted
        elif byte == ord(",") and not quoted:
            found.append(text[begin:at])
            begin = at + 1
    return [part.strip(b" \t") for part in (*found, text[begin:])]


def _finder(step: HttpExpectStep) -> Find:
    if step.match in (Match.STRING, Match.STRING_FORMAT):
        return lambda data: step.pattern in data
    if step.match in (Match.REGEX, Match.STATUS_REGEX):
        return Pattern(step.pattern).found_in
    if step.name is not None:
        return _text_finder(step.name, any_case=True)
    return lambda _data: False


def _text_finder(text: TextMatch, *, any_case: bool = False) -> Find:
    """`any_case`: header names, which are in small letters."""
    if isinstance(text.pattern, tuple):
        return lambda _data: False  # not before it is filled
    wanted = text.pattern.encode(errors="surrogateescape")
    if text.method == "reg":
        return Pattern(b"(?i)" + wanted if any_case else wanted).found_in
    if any_case:
        wanted = wanted.lower()
    return {
        "str": lambda data: bool(data == wanted),
        "beg": lambda data: bool(data.startswith(wanted)),
        "end": lambda data: bool(data.endswith(wanted)),
        "sub": lambda data: bool(wanted in data),
    }[text.method]
