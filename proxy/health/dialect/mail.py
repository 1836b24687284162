"""`option smtpchk`: greeting, HELO or EHLO, QUIT (RFC 5321). Pure.

Owns the verdicts on the server's three replies, each with its code and text. As HAProxy does, a
greeting of several lines is refused, and a refusal of HELO is not told from a reply of which more
may come: it counts when the server closes, or as a time-out.
"""

from __future__ import annotations

import re

from proxy.config.model.checks import SmtpCheck
from proxy.health.dialect.conversation import Conversation, Meaning, ServerReply, c_text
from proxy.health.dialect.seam import Result
from shm.check_status import CheckStatus

LENGTH_MIN = 4  # a code and what is behind it
CODE_LENGTH = 3
GREETING = re.compile(rb"[0-9]{3}[ \r]")
WELCOME = re.compile(rb"2[0-9]{2}[ \r]")
DONE = re.compile(rb"(?:2[0-9]{2}-[^\r]*\r\n)*2[0-9]{2}[ \r]")  # EHLO has a line for each extension
GOODBYE = re.compile(rb"2[0-9]{2}[- \r]")


def conversation(check: SmtpCheck) -> Conversation:
    """A polite one: the server logs no lost connection."""
    return Conversation(
        ServerReply(_greeting, 2),
        f"{check.hello} {check.domain}\r\n".encode(),
        ServerReply(_done, 5, CheckStatus.L7STS),
        b"QUIT\r\n",
        ServerReply(_goodbye, 7, CheckStatus.L7STS),
    )


def _greeting(data: bytes, last: bool) -> Result | Meaning:
    if len(data) < LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    if not GREETING.match(data):
        return Result(CheckStatus.L7RSP, 0, _first_line(data))
    return Meaning.GO_ON if WELCOME.match(data) else _said(CheckStatus.L7STS, data)


def _done(data: bytes, last: bool) -> Result | Meaning:
    if DONE.match(data):
        return Meaning.GO_ON
    return _said(CheckStatus.L7STS, data) if last else Meaning.INCOMPLETE


def _goodbye(data: bytes, last: bool) -> Result | Meaning:
    if len(data) < LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    return _said(CheckStatus.L7OK if GOODBYE.match(data) else CheckStatus.L7STS, data)


def _said(status: CheckStatus, data: bytes) -> Result:
    """A reply with its code, 0 where there is none, and the text behind it."""
    found = re.match(rb"\+?([0-9]+)", data[:CODE_LENGTH]) if len(data) >= CODE_LENGTH else None
    code = int(found[1]) if found else 0
    return Result(status, code, _first_line(data[LENGTH_MIN:].lstrip(b" ")))


def _first_line(data: bytes) -> str:
    return c_text(data.replace(b"\r", b"\n").partition(b"\n")[0])
