"""A check that speaks HTTP: requests and what is expected of their answers. Sans I/O.

Owns the order of steps and the texts about them. Each connection has one request; what is expected
of its answer is judged in order, all of it by the same bytes.

    CONNECTED ──> Send ──SENT──> Expect <──> the response so far ──┬─ the next expectation
                                                                   ├─ Connect, and so on
                                                                   └─ none left: passed
"""

from __future__ import annotations

from contextlib import suppress

from proxy.config.model.checks import (
    ConnectStep,
    HttpCheck,
    HttpExpectStep,
    HttpSendStep,
    HttpStep,
    SetStep,
    first_acting,
)
from proxy.config.model.rules import FormatText
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.expectations import Verdict
from proxy.health.dialect.http_expectations import HttpExpectation
from proxy.health.dialect.http_request import (
    RequestSizeError,
    has_formats,
    literal,
    method_of,
    request_bytes,
)
from proxy.health.dialect.http_response import READ_MAX, HttpReply
from proxy.health.dialect.script import EMPTY_TEXT, aimed, begun, commented, connection
from proxy.health.dialect.seam import (
    Answer,
    Connect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
    Subject,
)
from proxy.rules.forms import Forms, Writer
from shm.check_status import CheckStatus

NOT_FOUND = 404
NO_REQUEST = "a request was sent before"
# Looked up once: a member of an enumeration takes longer than most of what a check does here.
WAIT, OTHERWISE = Verdict.WAIT, Verdict.OTHERWISE
EXPIRED = Moment.EXPIRED
ANYTHING = Expect()


class _Request:
    """One request, and whether its answer has no body."""

    def __init__(self, step: HttpSendStep, *, with_state: bool) -> None:
        """`with_state`: it says how the server stands, so its bytes are made for each check."""
        self._request = step.request
        self._with_state = with_state
        self.sent: Send | None = None  # where it never differs
        if not with_state and not has_formats(step.request):
            with suppress(RequestSizeError):  # each check says so
                self.sent = Send(request_bytes(step.request))
        self.is_head = method_of(step.request) == "HEAD"

    def made(self, subject: Subject, writer: Writer | None) -> Send:
        """The bytes of it for one check; raises RequestSizeError."""
        state = subject.state(subject.slot) if self._with_state else ""
        return Send(request_bytes(self._request, state, writer.text if writer else literal))


class HttpScript:
    """The steps of one section, compiled; all its checks share them."""

    def __init__(
        self, rules: HttpCheck, *, header: ProxyHeader, forms: Forms | None = None
    ) -> None:
        """`header`: of `http-check connect send-proxy`."""
        self.forms = forms
        self.begins = first_acting(rules.steps)
        self.steps = tuple(_compiled(step, header, rules) for step in rules.steps)
        begins = self.steps[self.begins]
        self.connects = isinstance(begins, tuple)  # by its own first step
        self.first = (
            begins[1] if isinstance(begins, tuple) else Connect(quick_ack=False, notifies=True)
        )
        self.sets = any(isinstance(step, SetStep) for step in self.steps)
        self.ends_by_setting = isinstance(self.steps[-1], SetStep)
        self.judges_on = tuple(map(self._judges_on, range(len(self.steps))))
        acting = [step for step in self.steps if not isinstance(step, SetStep)]
        last = acting[-1]
        assert isinstance(last, HttpExpectation), last
        self.last = last  # says how a check passed
        self.disable_on_404 = rules.disable_on_404
        self._numbers = tuple(step.number for step in rules.steps)

    def before(self, at: int) -> int:
        """The number of the step before one, from the first connect on, which may be implied."""
        if at == self.begins:
            return 1
        return self._numbers[at - 1] - self._numbers[self.begins] + 1

    def _judges_on(self, at: int) -> bool:
        """Whether an expectation is next behind a step."""
        acting = (step for step in self.steps[at + 1 :] if not isinstance(step, SetStep))
        return isinstance(next(acting, None), HttpExpectation)


CompiledStep = tuple[ConnectStep, Connect] | _Request | SetStep | HttpExpectation


def _compiled(step: HttpStep, header: ProxyHeader, rules: HttpCheck) -> CompiledStep:
    if isinstance(step, ConnectStep):
        return step, connection(step, header, quick_ack=False)._replace(notifies=True)
    if isinstance(step, SetStep):
        return step
    if isinstance(step, HttpSendStep):
        return _Request(step, with_state=rules.send_state)
    return HttpExpectation(step)


class HttpRun:
    """The dialect of one check."""

    __slots__ = ("_at", "_response", "_script", "_subject", "_writer", "first")

    place = ""

    def __init__(self, script: HttpScript, subject: Subject) -> None:
        self._script = script
        self._subject = subject
        self._at = script.begins if script.connects else -1  # the step; -1: connect before all
        self._response: HttpReply | None = None  # to the request of the present connection
        self._writer: Writer | None = None
        self.first = script.first  # the first step's connection, or one as the server's line says
        if script.forms is not None:
            self._begin(script.forms, subject)

    def _begin(self, forms: Forms, subject: Subject) -> None:
        """Set what is set before the first connection, which a value may aim."""
        self._writer = begun(forms, subject)
        if not self._script.connects:
            self.first = aimed(self.first, None, self._writer)
            return
        for step in self._script.steps[: self._at]:
            self._set(step)
        self.first = self._aim(self._script.steps[self._at])

    def answer(self, event: Event) -> Answer:
        """The next step, or how it ended."""
        if isinstance(event, Received):
            return self._received(event.data)
        if isinstance(event, Ended):
            return self._ended(event)
        if event is EXPIRED:
            step = self._script.steps[self._at]
            status = CheckStatus.L7TOUT
            if isinstance(step, HttpExpectation):
                status = CheckStatus.of(step.step.timeout_status)
            return Result(status)
        return self._next()

    def _received(self, data: bytes) -> Answer:
        """Judge as much as HAProxy reads at once, and the rest only if that says nothing."""
        assert self._response is not None, NO_REQUEST
        if 0 < len(data) <= READ_MAX:
            self._response.feed(data)
            return self._judge(last=False)
        answer: Answer = ANYTHING
        for at in range(0, len(data), READ_MAX):
            self._response.feed(data[at : at + READ_MAX])
            answer = self._judge(last=False)
            if not isinstance(answer, Expect):
                break
        return answer

    def _ended(self, event: Ended) -> Answer:
        """The stream is over; a server that resets right behind its answer has answered."""
        if not isinstance(self._script.steps[self._at], HttpExpectation):  # not all was sent
            return Result(CheckStatus.SOCKERR, 0, event.reason)
        answer = self._received(event.data)
        if isinstance(answer, Expect):
            answer = self._judge(last=event.code == 0)
        if isinstance(answer, Expect):
            return Result(CheckStatus.SOCKERR, 0, event.reason)
        return answer

    def _next(self) -> Answer:
        """Go on behind the step under way."""
        self._at += 1
        if self._script.sets:
            self._set_all()
        if self._at == len(self._script.steps):
            return self._passed()
        step = self._script.steps[self._at]
        if isinstance(step, tuple):
            self._response = None
            return step[1] if self._writer is None else self._aim(step)
        if isinstance(step, _Request):
            return self._request(step)
        assert self._response is not None, NO_REQUEST
        return self._judge(last=False) if self._response.code is not None else ANYTHING

    def _set_all(self) -> None:
        """Go on to the next step that does more than set a variable, or to the end."""
        steps = self._script.steps
        while self._at < len(steps) and isinstance(steps[self._at], SetStep):
            self._set(steps[self._at])
            self._at += 1

    def _request(self, request: _Request) -> Answer:
        """Send a request, which may be made for this check."""
        sent = request.sent
        if sent is None:
            self._response = None  # HAProxy forgets the one before it
            try:
                sent = request.made(self._subject, self._writing() if self._writer else None)
            except RequestSizeError:
                number = self._script.before(self._at)
                text = f"tcp-check send : failed to build HTTP request at step {number}"
                return Result(CheckStatus.L7RSP, 0, text)
        self._response = HttpReply(to_head=request.is_head)
        return sent

    def _writing(self) -> Writer:
        """The formats, which have heard what the server said."""
        assert self._writer is not None, "a ruleset with a format has a writer"
        response = self._response
        if response is None or response.code is None:
            self._writer.facts.hear(b"", headers=b"")
        else:
            lines = b"".join(b"%b: %b\r\n" % field for field in response.fields)
            self._writer.facts.hear(bytes(response.body), status=response.code, headers=lines)
        return self._writer

    def _set(self, step: CompiledStep) -> None:
        assert isinstance(step, SetStep), step
        self._writing().set(step)

    def _aim(self, step: CompiledStep) -> Connect:
        assert isinstance(step, tuple), step
        assert self._writer is not None, "a ruleset with a value has a writer"
        return aimed(step[1], step[0].port_value, self._writer)

    def _text(self, text: FormatText) -> str:
        if isinstance(text, str):
            return text
        return self._writing().text(text).decode(errors="surrogateescape")

    def _judge(self, *, last: bool) -> Answer:
        response = self._response
        assert response is not None, NO_REQUEST
        expectation = self._expectation()
        if response.broken or (last and response.code is None):
            step = expectation.step
            return Result(CheckStatus.L7RSP, 0, commented(self._text(step.on_error), step))
        if response.code is None:
            return ANYTHING
        ends = response.code == NOT_FOUND and self._script.disable_on_404
        if ends and not self._subject.is_down(self._subject.slot):
            return Result(CheckStatus.L7OKC, NOT_FOUND)
        if expectation.has_forms:
            filled = expectation.filled(self._writing().text)
            if filled is None:
                return Result(CheckStatus.L7RSP, 0, commented(EMPTY_TEXT, expectation.step))
            expectation = filled
        verdict = expectation.judge(response, last=last)
        if verdict is OTHERWISE:
            return self._failed(expectation, response)
        return ANYTHING if verdict is WAIT else self._next_of_same(last=last)

    def _failed(self, expectation: HttpExpectation, response: HttpReply) -> Result:
        step = expectation.step
        text = self._text(step.on_error) if step.on_error else expectation.complaint(response)
        return self._result(step, step.error_status, commented(text, step))

    def _next_of_same(self, *, last: bool) -> Answer:
        """Behind an expectation; the next one looks at the same response."""
        if not self._script.judges_on[self._at]:
            return self._next()
        self._at += 1
        self._set_all()
        return self._judge(last=last)

    def _passed(self) -> Result:
        """The last expectation says how the check passed."""
        step = self._script.last.step
        return self._result(step, step.ok_status, self._text(step.on_success))

    def _result(self, step: HttpExpectStep, number: int, text: str) -> Result:
        status = CheckStatus.of(number)
        return Result(status, self._code(step) if status.coded else 0, text)

    def _code(self, step: HttpExpectStep) -> int:
        if step.status_code is not None:
            code = self._writing().code(step.status_code)
            if code is not None:
                return code
        # where variables are set behind the last expectation, HAProxy has no code any more
        ended = self._at == len(self._script.steps)
        if self._response is None or (ended and self._script.ends_by_setting):
            return 0
        return self._response.code or 0

    def _expectation(self) -> HttpExpectation:
        """The step under way: only an expectation receives bytes."""
        step = self._script.steps[self._at]
        assert isinstance(step, HttpExpectation), step
        return step
