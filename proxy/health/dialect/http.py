"""A check that speaks HTTP: requests and what is expected of their answers. Sans I/O.

Owns the order of steps and the texts about them. Each connection has one request; what is expected
of its answer is judged in order, all of it by the same bytes.

    CONNECTED ──> Send ──SENT──> Expect <──> the response so far ──┬─ the next expectation
                                                                   ├─ Connect, and so on
                                                                   └─ none left: passed
"""

from __future__ import annotations

from proxy.config.model.checks import ConnectStep, HttpCheck, HttpExpectStep, HttpSendStep
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.expectations import Verdict
from proxy.health.dialect.http_expectations import HttpExpectation
from proxy.health.dialect.http_request import method_of, request_bytes
from proxy.health.dialect.http_response import READ_MAX, HttpReply
from proxy.health.dialect.script import commented, connection
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
from shm.check_status import CheckStatus

NOT_FOUND = 404


class _Request:
    """One request, and whether its answer has no body."""

    def __init__(self, step: HttpSendStep, *, with_state: bool) -> None:
        """`with_state`: it says how the server stands, so its bytes are made for each check."""
        self._request = step.request
        self._send = None if with_state else Send(request_bytes(step.request))
        self.is_head = method_of(step.request) == "HEAD"

    def send(self, subject: Subject) -> Send:
        """The bytes of it."""
        return self._send or Send(request_bytes(self._request, subject.state()))


class HttpScript:
    """The steps of one section, compiled; all its checks share them."""

    def __init__(self, rules: HttpCheck, *, header: ProxyHeader) -> None:
        """`header`: of `http-check connect send-proxy`."""
        self.steps = tuple(_compiled(step, header, rules) for step in rules.steps)
        begins = self.steps[0]
        self.connects = isinstance(begins, Connect)  # by its own first step
        self.first = (
            begins if isinstance(begins, Connect) else Connect(quick_ack=False, notifies=True)
        )
        self.disable_on_404 = rules.disable_on_404


CompiledStep = Connect | _Request | HttpExpectation


def _compiled(
    step: ConnectStep | HttpSendStep | HttpExpectStep, header: ProxyHeader, rules: HttpCheck
) -> CompiledStep:
    if isinstance(step, ConnectStep):
        return connection(step, header, quick_ack=False)._replace(notifies=True)
    if isinstance(step, HttpSendStep):
        return _Request(step, with_state=rules.send_state)
    return HttpExpectation(step)


class HttpRun:
    """The dialect of one check."""

    __slots__ = ("_at", "_response", "_script", "_subject")

    place = ""

    def __init__(self, script: HttpScript, subject: Subject) -> None:
        self._script = script
        self._subject = subject
        self._at = 0 if script.connects else -1  # the step under way; -1: the connect before all
        self._response: HttpReply  # to the request of the present connection

    @property
    def first(self) -> Connect:
        """The first step's connection, or one as the server's line says."""
        return self._script.first

    def answer(self, event: Event) -> Answer:
        """The next step, or how it ended."""
        if isinstance(event, Received):
            return self._received(event.data)
        if isinstance(event, Ended):
            return self._ended(event)
        if event is Moment.EXPIRED:
            step = self._script.steps[self._at]
            status = CheckStatus.L7TOUT
            if isinstance(step, HttpExpectation):
                status = CheckStatus.of(step.step.timeout_status)
            return Result(status)
        return self._next()

    def _received(self, data: bytes) -> Answer:
        """Judge as much as HAProxy reads at once, and the rest only if that says nothing."""
        answer: Answer = Expect()
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
        if self._at == len(self._script.steps):
            return self._passed()
        step = self._script.steps[self._at]
        if isinstance(step, Connect):
            return step
        if isinstance(step, _Request):
            self._response = HttpReply(to_head=step.is_head)
            return step.send(self._subject)
        return self._judge(last=False) if self._response.code is not None else Expect()

    def _judge(self, *, last: bool) -> Answer:
        response = self._response
        expectation = self._expectation()
        if response.broken or (last and response.code is None):
            step = expectation.step
            return Result(CheckStatus.L7RSP, 0, commented(step.on_error, step))
        if response.code is None:
            return Expect()
        ends = response.code == NOT_FOUND and self._script.disable_on_404
        if ends and not self._subject.is_down():
            return Result(CheckStatus.L7OKC, NOT_FOUND)
        verdict = expectation.judge(response, last=last)
        if verdict is Verdict.WAIT:
            return Expect()
        if verdict is Verdict.AS_EXPECTED:
            return self._next_of_same(last=last)
        step = expectation.step
        text = step.on_error or expectation.complaint(response)
        return self._result(step.error_status, commented(text, step))

    def _next_of_same(self, *, last: bool) -> Answer:
        """Behind an expectation; the next one looks at the same response."""
        following = self._at + 1
        steps = self._script.steps
        if following < len(steps) and isinstance(steps[following], HttpExpectation):
            self._at = following
            return self._judge(last=last)
        return self._next()

    def _passed(self) -> Result:
        """The last step, which is an expectation, says how the check passed."""
        step = self._script.steps[-1]
        assert isinstance(step, HttpExpectation), step
        return self._result(step.step.ok_status, step.step.on_success)

    def _result(self, number: int, text: str) -> Result:
        status = CheckStatus.of(number)
        return Result(status, self._response.code or 0 if status.coded else 0, text)

    def _expectation(self) -> HttpExpectation:
        """The step under way: only an expectation receives bytes."""
        step = self._script.steps[self._at]
        assert isinstance(step, HttpExpectation), step
        return step
