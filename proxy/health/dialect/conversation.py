"""A check that an option fixes: bytes to send and replies to judge, in one order. Sans I/O.

Owns that order, the bytes that came since the last ones were sent, and what is said of a server
that says nothing. Judges no reply itself: the protocol of the option does (mail.py, mysql.py, ...).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

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


class Meaning(enum.Enum):
    """What a reply means that does not end the check."""

    INCOMPLETE = enum.auto()
    GO_ON = enum.auto()


Judge = Callable[[bytes, bool], Result | Meaning]


class ServerReply(NamedTuple):
    """A reply of the server.

    `judge` is given all that came of it, and whether that is the last of it: then it is not
    INCOMPLETE. `number` is the step that HAProxy names where nothing came.
    """

    judge: Judge
    number: int
    silent: CheckStatus = CheckStatus.L7RSP
    timeout: CheckStatus = CheckStatus.L7TOUT


class Conversation:
    """What is sent and what is judged; all checks of one section share it."""

    def __init__(self, *steps: bytes | ServerReply, reset_on_close: bool = False) -> None:
        """The last step is a reply whose judge always ends the check.

        `reset_on_close`: as in `Connect`. A server that counts broken connections wants an orderly
        end; a server that speaks first has its greeting acknowledged at once.
        """
        self.steps = steps
        speaks_first = isinstance(steps[0], ServerReply)
        self.first = Connect(quick_ack=speaks_first, reset_on_close=reset_on_close)

    def run(self) -> ConversationRun:
        """One check."""
        return ConversationRun(self)


class ConversationRun:
    """The dialect of one check."""

    __slots__ = ("_at", "_conversation", "_data")

    place = ""  # messages name no step of these

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._at = -1  # the step under way; -1: the connect
        self._data = b""

    @property
    def first(self) -> Connect:
        """The only connection."""
        return self._conversation.first

    def answer(self, event: Event) -> Answer:
        """The next step, or how it ended."""
        if isinstance(event, Received):
            self._data += event.data
            return self._judge(last=len(self._data) == RECEIVED_MAX)
        if isinstance(event, Ended):
            self._data += event.data
            if self._data:  # a server that resets right behind its reply has replied
                return self._judge(last=True)
            if event.code:
                return Result(CheckStatus.SOCKERR, 0, event.reason)
            reply = self._reply()
            return Result(reply.silent, 0, f"TCPCHK got an empty response at step {reply.number}")
        if event is Moment.EXPIRED:
            return self._expired()
        return self._next()

    def _next(self) -> Answer:
        """Go on behind the step under way."""
        self._at += 1
        step = self._conversation.steps[self._at]
        self._data = b""
        return Expect() if isinstance(step, ServerReply) else Send(step)

    def _judge(self, *, last: bool) -> Answer:
        meaning = self._reply().judge(self._data, last)
        if meaning is Meaning.INCOMPLETE:
            return more_behind(self._data)
        return self._next() if meaning is Meaning.GO_ON else meaning

    def _expired(self) -> Result:
        step = self._conversation.steps[self._at]
        return Result(step.timeout if isinstance(step, ServerReply) else CheckStatus.L7TOUT)

    def _reply(self) -> ServerReply:
        """The step under way: only a reply receives bytes."""
        step = self._conversation.steps[self._at]
        assert isinstance(step, ServerReply), step
        return step


def c_text(data: bytes) -> str:
    """Text of a server up to its NUL, as HAProxy shows it."""
    return data.partition(b"\0")[0].decode(errors="surrogateescape")
