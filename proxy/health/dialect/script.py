"""A check that is a list of steps: connect, send, expect (manual: tcp-check). Sans I/O.

Owns the order of steps, the bytes that were received and not yet followed by a step that sends, and
the texts about each step. Judges no bytes itself (expectations.py), and runs no format (forms.py).

    connected ──> the next step ──┬─ Connect: bytes of the former connection are forgotten
                                  ├─ Send: bytes that came before it are forgotten
                                  ├─ Set: a variable has another value, and the next step follows
                                  ├─ Expect: judged at once if there are bytes, else waited for
                                  └─ none left: passed
"""

from __future__ import annotations

from proxy.config.model.checks import (
    ConnectStep,
    ExpectStep,
    Match,
    SendStep,
    SetStep,
    Step,
    first_acting,
)
from proxy.config.model.rules import FormatText, Value
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
    Subject,
    more_behind,
)
from proxy.rules.forms import Forms, Writer
from shm.check_status import CheckStatus

PASSED_TEXT = "(tcp-check)"

EMPTY_TEXT = "log-format string evaluated to an empty string"
NO_HEX_TEXT = "Failed to parse hexastring resulting of eval of a log-format string"
NOBODY = Subject(lambda _: False, lambda _: "")

CompiledStep = tuple[ConnectStep, Connect] | SendStep | SetStep | Expectation


class Script:
    """The steps of one section, compiled; all its checks share them."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        *,
        header: ProxyHeader,
        numbered: bool,
        forms: Forms | None = None,
    ) -> None:
        """`header`: of `tcp-check connect send-proxy`; `numbered`: messages name the step."""
        self.steps: tuple[CompiledStep, ...] = tuple(
            _compiled(step, header, _acting(steps[at + 1 :])) for at, step in enumerate(steps)
        )
        self.heads = _heads(self.steps)
        self.numbered = numbered
        self.forms = forms
        self.begins = first_acting(steps)  # the step that does more than set a variable
        begins = self.steps[self.begins] if self.begins < len(steps) else None
        self.connects = isinstance(begins, tuple)  # by its own first step
        self.first = Connect(quick_ack=isinstance(begins, Expectation))
        if isinstance(begins, tuple):
            self.first = begins[1]
        acting = [step for step in self.steps if not isinstance(step, SetStep)]
        self.last = acting[-1] if acting else None  # says how a check passed

    def run(self, subject: Subject = NOBODY) -> Run:
        """One check of a server."""
        return Run(self, subject)


def _acting(steps: tuple[Step, ...]) -> Step | None:
    """The first step that does more than set a variable."""
    at = first_acting(steps)
    return steps[at] if at < len(steps) else None


def _heads(steps: tuple[CompiledStep, ...]) -> tuple[int, ...]:
    """Where each step goes on when it waits: more bytes may hold what a step before did not want.

    That is the first negated one of the expectations in a row that lead to it, or itself.
    """
    heads: list[int] = []
    negated: int | None = None  # the first one of the row
    for at, step in enumerate(steps):
        if not isinstance(step, Expectation | SetStep):
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

    __slots__ = ("_at", "_connected", "_data", "_script", "_writer", "first")

    def __init__(self, script: Script, subject: Subject) -> None:
        self._script = script
        self._connected = CheckStatus.L4OK  # that the present connection is there
        self._at = script.begins if script.connects else -1  # the step; -1: connect before all
        self._data = b""
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
            assert isinstance(step, SendStep), "to set a variable takes no time"
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
        while True:
            self._at += 1
            if self._at == len(self._script.steps):
                return self._passed()
            step = self._script.steps[self._at]
            if isinstance(step, Expectation):
                return self._judge(last=last) if self._data else Expect(step.missing(b""))
            if isinstance(step, SetStep):
                self._set(step)
                continue
            self._data = b""
            if isinstance(step, tuple):
                return step[1] if self._writer is None else self._aim(step)
            data = self._sent(step) if step.form else step.data
            if data is None:
                text = f"tcp-check send : failed to build log-format string at step {step.number}"
                return Result(CheckStatus.L7RSP, 0, text)
            if data:
                return Send(data)

    def _writing(self) -> Writer:
        """The formats, which have heard what the server said."""
        assert self._writer is not None, "a ruleset with a format has a writer"
        self._writer.facts.hear(self._data)
        return self._writer

    def _set(self, step: CompiledStep) -> None:
        assert isinstance(step, SetStep), step
        self._writing().set(step)

    def _aim(self, step: CompiledStep) -> Connect:
        assert isinstance(step, tuple), step
        assert self._writer is not None, "a ruleset with a value has a writer"
        return aimed(step[1], step[0].port_value, self._writer)

    def _sent(self, step: SendStep) -> bytes | None:
        """What a step's format says; None: no bytes."""
        text = self._writing().text(step.form)
        return bytes_of(text) if step.binary else text

    def _text(self, text: FormatText) -> str:
        if isinstance(text, str):
            return text
        return self._writing().text(text).decode(errors="surrogateescape")

    def _code(self, value: Value | None) -> int:
        return 0 if value is None else self._writing().code(value) or 0

    def _wanted(self, step: ExpectStep) -> bytes | Result:
        """The bytes that a format expects; a result where it says none."""
        text = self._writing().text(step.form)
        if not text:
            return Result(CheckStatus.L7RSP, 0, commented(EMPTY_TEXT, step))
        found = bytes_of(text) if step.match == Match.BINARY_FORMAT else text
        if found is None:
            return Result(CheckStatus.L7RSP, 0, commented(NO_HEX_TEXT, step))
        return found

    def _judge(self, *, last: bool) -> Answer:
        expectation = self._expectation()
        wanted = b""
        if expectation.form and (last or not expectation.missing(self._data)):
            found = self._wanted(expectation.step)
            if isinstance(found, Result):
                return found
            wanted = found
        verdict = expectation.judge(self._data, last=last, wanted=wanted)
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
        text = self._text(step.on_error)
        if not step.on_error and self._script.numbered:
            text = f"{complaint} at step {step.number}"
        elif not step.on_error:
            text = first_line(self._data)
        return self._result(step, step.error_status, commented(text, step))

    def _result(self, step: ExpectStep, number: int, text: str) -> Result:
        status = CheckStatus.of(number)
        return Result(status, self._code(step.status_code) if status.coded else 0, text)

    def _expired(self) -> Result:
        step = self._script.steps[self._at]
        status = CheckStatus.L7TOUT
        if isinstance(step, Expectation):
            status = CheckStatus.of(step.step.timeout_status)
        return Result(status, 0, self.place)

    def _passed(self) -> Result:
        """The last step says how the check passed."""
        step = self._script.last
        if step is None:
            return Result(self._connected)
        if isinstance(step, Expectation):
            said = step.step
            text = self._text(said.on_success) if said.on_success else PASSED_TEXT
            return self._result(said, said.ok_status, text)
        connected = isinstance(step, tuple)
        return Result(self._connected if connected else CheckStatus.L7OK, 0, PASSED_TEXT)

    def _expectation(self) -> Expectation:
        """The step under way: only an expectation receives bytes."""
        step = self._script.steps[self._at]
        assert isinstance(step, Expectation), step
        return step


def begun(forms: Forms, subject: Subject) -> Writer:
    """What the formats of a ruleset say in one check."""
    name = subject.name.encode(errors="surrogateescape")
    return forms.begin(subject.slot, name, subject.number)


def aimed(connect: Connect, port: Value | None, writer: Writer) -> Connect:
    """A connection to the port that a value says, of which formats are told if they ask."""
    if port is not None:
        connect = connect._replace(port=writer.port(port) or connect.port)
    return connect._replace(told=writer.facts.meet) if writer.forms.tells_ends else connect


def bytes_of(digits: bytes) -> bytes | None:
    """The bytes that hex digits stand for; None for anything else."""
    try:
        return bytes.fromhex(digits.decode()) if not digits or digits.isalnum() else None
    except ValueError:
        return None


def first_line(data: bytes) -> str:
    """What a server said, up to the end of its first line."""
    return data.replace(b"\r", b"\n").partition(b"\n")[0].decode(errors="surrogateescape")


def commented(text: str, step: ExpectStep) -> str:
    """The text with the step's comment."""
    return f"{text} comment: {step.comment}" if step.comment else text
