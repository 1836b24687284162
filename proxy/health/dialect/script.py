"""A check that is a list of steps: connect, send, expect (manual: tcp-check). Sans I/O.

Owns the order of steps, the bytes that were received and not yet followed by a step that sends, and
the texts about each step. Judges no bytes itself (expectations.py).

    connected ──> the next step ──┬─ Connect: bytes of the former connection are forgotten
                                  ├─ Send: bytes that came before it are forgotten
                                  ├─ Expect: judged at once if there are bytes, else waited for
                                  └─ none left: passed
"""

from __future__ import annotations

from itertools import zip_longest

from proxy.config.model.checks import ConnectStep, ExpectStep, SendStep, Step
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.expectations import Expectation, Verdict
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
    more_behind,
)
from shm.check_status import CheckStatus

PASSED_TEXT = "(tcp-check)"

CompiledStep = tuple[ConnectStep, Connect] | SendStep | Expectation


class Script:
    """The steps of one section, compiled; all its checks share them."""

    def __init__(self, steps: tuple[Step, ...], *, header: ProxyHeader, numbered: bool) -> None:
        """`header`: of `tcp-check connect send-proxy`; `numbered`: messages name the step."""
        self.steps: tuple[CompiledStep, ...] = tuple(
            _compiled(step, header, after) for step, after in zip_longest(steps, steps[1:])
        )
        self.heads = _heads(self.steps)
        self.numbered = numbered
        begins = self.steps[0] if self.steps else None
        self.connects = isinstance(begins, tuple)  # by its own first step
        self.first = Connect(quick_ack=isinstance(begins, Expectation))
        if isinstance(begins, tuple):
            self.first = begins[1]

    def run(self) -> Run:
        """One check."""
        return Run(self)


def _heads(steps: tuple[CompiledStep, ...]) -> tuple[int, ...]:
    """Where each step goes on when it waits: more bytes may hold what a step before did not want.

    That is the first negated one of the expectations in a row that lead to it, or itself.
    """
    heads: list[int] = []
    negated: int | None = None  # the first one of the row
    for at, step in enumerate(steps):
        if not isinstance(step, Expectation):
            negated = None
        heads.append(at if negated is None else negated)
        if isinstance(step, Expectation) and step.step.negated and negated is None:
            negated = at
    return tuple(heads)


def connection(step: ConnectStep, header: ProxyHeader, *, quick_ack: bool) -> Connect:
    """What a rule `connect` asks for; `header`: where it says `send-proxy`."""
    own = header if step.send_proxy else ProxyHeader.NONE
    return Connect(
        address=step.address,
        port=step.port or step.address_port,
        header=None if step.default else own,
        quick_ack=quick_ack,
        reset_on_close=not step.linger,
        ssl=step.ssl,
        sni=step.sni,
        alpn=step.alpn,
    )


def _compiled(step: Step, header: ProxyHeader, after: Step | None) -> CompiledStep:
    if isinstance(step, ConnectStep):  # what is sent next carries the acknowledgement
        return step, connection(step, header, quick_ack=isinstance(after, ExpectStep))
    return Expectation(step) if isinstance(step, ExpectStep) else step


class Run:
    """The dialect of one check."""

    __slots__ = ("_at", "_connected", "_data", "_script")

    def __init__(self, script: Script) -> None:
        self._script = script
        self._connected = CheckStatus.L4OK  # that the present connection is there
        self._at = 0 if script.connects else -1  # the step under way; -1: the connect before all
        self._data = b""

    @property
    def first(self) -> Connect:
        """The first step's connection, or one as the server's line says."""
        return self._script.first

    @property
    def place(self) -> str:
        """The step under way, where messages name it."""
        if not self._script.numbered:
            return ""
        if self._at < 0:
            return " at initial connection step of tcp-check"
        step = self._script.steps[self._at]
        said: ConnectStep | SendStep | ExpectStep
        if isinstance(step, tuple):
            said, what = step[0], f"connect port {step[0].port}" if step[0].port else "connect"
        elif isinstance(step, Expectation):
            said, what = step.step, step.asked
        else:
            said, what = step, "send"
        comment = f" comment: '{said.comment}'" if said.comment else ""
        return f" at step {said.number} of tcp-check ({what}){comment}"

    def answer(self, event: Event) -> Answer:
        """The next step, or how it ended."""
        if isinstance(event, Received):
            self._data += event.data
            return self._judge(last=len(self._data) == RECEIVED_MAX)
        if isinstance(event, Ended):
            self._data += event.data
            if self._data:  # a server that resets right behind its answer has answered
                return self._judge(last=True)
            if event.code:
                return Result(CheckStatus.SOCKERR, 0, event.reason + self.place)
            return self._empty()
        if event is Moment.EXPIRED:
            return self._expired()
        if event is not Moment.SENT:
            secured = event is Moment.SECURED
            self._connected = CheckStatus.L6OK if secured else CheckStatus.L4OK
        return self._next(last=False)

    def _next(self, *, last: bool) -> Answer:
        """Go on behind the step under way."""
        self._at += 1
        if self._at == len(self._script.steps):
            return self._passed()
        step = self._script.steps[self._at]
        if isinstance(step, Expectation):
            return self._judge(last=last) if self._data else Expect(step.missing(b""))
        self._data = b""
        return step[1] if isinstance(step, tuple) else Send(step.data)

    def _judge(self, *, last: bool) -> Answer:
        expectation = self._expectation()
        verdict = expectation.judge(self._data, last=last)
        if verdict is Verdict.WAIT:
            self._at = self._script.heads[self._at]
            return more_behind(self._data, max(1, self._expectation().missing(self._data)))
        if verdict is Verdict.AS_EXPECTED:
            return self._next(last=last)
        return self._failed(expectation.step, expectation.complaint())

    def _empty(self) -> Result:
        step = self._expectation().step
        text = f"TCPCHK got an empty response at step {step.number}"
        comment = f" comment: '{step.comment}'" if step.comment else ""
        return Result(CheckStatus.of(step.error_status), 0, text + comment)

    def _failed(self, step: ExpectStep, complaint: str) -> Result:
        """Bytes are otherwise than expected."""
        text = step.on_error
        if not text and self._script.numbered:
            text = f"{complaint} at step {step.number}"
        elif not text:
            text = first_line(self._data)
        return Result(CheckStatus.of(step.error_status), 0, commented(text, step))

    def _expired(self) -> Result:
        step = self._script.steps[self._at]
        status = CheckStatus.L7TOUT
        if isinstance(step, Expectation):
            status = CheckStatus.of(step.step.timeout_status)
        return Result(status, 0, self.place)

    def _passed(self) -> Result:
        """The last step says how the check passed."""
        if not self._script.steps:
            return Result(self._connected)
        step = self._script.steps[-1]
        if isinstance(step, Expectation):
            said = step.step
            return Result(CheckStatus.of(said.ok_status), 0, said.on_success or PASSED_TEXT)
        connected = isinstance(step, tuple)
        return Result(self._connected if connected else CheckStatus.L7OK, 0, PASSED_TEXT)

    def _expectation(self) -> Expectation:
        """The step under way: only an expectation receives bytes."""
        step = self._script.steps[self._at]
        assert isinstance(step, Expectation), step
        return step


def first_line(data: bytes) -> str:
    """What a server said, up to the end of its first line."""
    return data.replace(b"\r", b"\n").partition(b"\n")[0].decode(errors="surrogateescape")


def commented(text: str, step: ExpectStep) -> str:
    """The text with the step's comment."""
    return f"{text} comment: {step.comment}" if step.comment else text
