"""`option pgsql-check`: how a PostgreSQL server receives a user. Pure.

Owns the startup message and the verdicts on what comes back: whatever authentication the server
asks for, it is well.
"""

from __future__ import annotations

import re

from proxy.config.model.checks import PgsqlCheck
from proxy.health.dialect.conversation import Conversation, Meaning, ServerReply, c_text
from proxy.health.dialect.seam import Result
from shm.check_status import CheckStatus

PROTOCOL_3 = b"\0\x03\0\0"
ERROR_LENGTH_MIN = 5  # kind and length of a message
REQUEST_LENGTH_MIN = 9  # and the kind of authentication
TEXT_START = 6  # of an error: behind the code of its first field, which is the severity
# SSPI, Kerberos 4 and what is newer than SASL's first message are unknown to HAProxy.
REQUEST = re.compile(rb"R\0\0\0.\0\0\0[\0\x02-\x07\x09\x0a]", re.DOTALL)


def conversation(check: PgsqlCheck) -> Conversation:
    """An orderly end, which the server does not log."""
    message = PROTOCOL_3 + b"user\0" + check.user.encode() + b"\0\0"
    return Conversation((len(message) + 4).to_bytes(4, "big") + message, ServerReply(_received, 3))


def _received(data: bytes, last: bool) -> Result | Meaning:
    if len(data) < ERROR_LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    if data.startswith(b"E"):
        return Result(CheckStatus.L7RSP, 0, c_text(data[TEXT_START:]))
    if len(data) < REQUEST_LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    if REQUEST.match(data):
        return Result(CheckStatus.L7OK, 0, "PostgreSQL server is ok")
    return Result(CheckStatus.L7STS, 0, "PostgreSQL unknown error")
