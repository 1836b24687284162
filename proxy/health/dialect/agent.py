"""What an agent is sent, and the line that it answers (manual section 5.2, `agent-check`).

Owns where the line ends, and what is said of one that does not come. What its words mean is not
known here: `line` has it once the check has ended as CHECKED. UNK says that the status of the
check before holds on; its code is the errno of a connection that broke.
"""

from __future__ import annotations

import re

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

INCOMPLETE = Result(CheckStatus.UNK, 0, "Ignoring incomplete line from agent")
EMPTY = Result(CheckStatus.L7RSP, 0, "TCPCHK got an empty response at step 2")
_END = re.compile(rb"[\0\r\n]")  # a NUL ends what HAProxy sees: no line end follows it


class AgentDialect:
    """One check of one agent."""

    __slots__ = ("_endless", "_received", "_send", "line")
    first = Connect()
    place = ""

    def __init__(self, send: bytes) -> None:
        self._send = send
        self._received = b""
        self._endless = False  # a NUL came before the line's end
        self.line: bytes | None = None  # without its end

    def answer(self, event: Event) -> Answer:
        """Send what there is to send, then read a line."""
        if isinstance(event, Received):
            return self._read(event.data)
        if isinstance(event, Ended):
            return self._ended(event)
        if event is Moment.EXPIRED:
            return Result(CheckStatus.L7TOUT)
        if self._send and event is not Moment.SENT:
            return Send(self._send)
        return Expect()

    def _read(self, data: bytes) -> Answer:
        looked_at = len(self._received)  # bytes may come one by one
        self._received += data
        end = None if self._endless else _END.search(self._received, looked_at)
        if end is not None and end.group() != b"\0":
            self.line = self._received[: end.start()]
            return Result(CheckStatus.CHECKED)
        self._endless = self._endless or end is not None
        if len(self._received) == RECEIVED_MAX:
            return INCOMPLETE
        return more_behind(self._received)

    def _ended(self, event: Ended) -> Answer:
        answer = self._read(event.data) if event.data else Expect()
        if isinstance(answer, Result):
            return answer
        if self._received:
            return INCOMPLETE._replace(code=event.code)
        return Result(CheckStatus.SOCKERR, 0, event.reason) if event.code else EMPTY
