"""`option ldap-check`: an anonymous bind (RFC 4511). Pure.

Owns the request and the verdict on the response: as much of BER as HAProxy reads, lengths of one
byte, or of two or four behind their number.
"""

from __future__ import annotations

from proxy.health.dialect.conversation import Conversation, Meaning, ServerReply
from proxy.health.dialect.seam import Result
from shm.check_status import CheckStatus

REQUEST = bytes.fromhex("300c020101600702010304008000")  # version 3, no name, no password
RESPONSE_LENGTH_MIN = 14
HEAD_LENGTH = 2  # tag and length
SEQUENCE = b"\x30"
MANY_BYTES = 0x80  # in the first byte of a length: the other bits are the number of those behind it
BIND_RESPONSE = bytes.fromhex("02010161")  # of message 1
RESULT = bytes.fromhex("0a01")  # an enumeration of one byte

SUCCESS = Result(CheckStatus.L7OK, logged="Success")
OTHER_PROTOCOL = Result(CheckStatus.L7RSP, 0, "Not LDAPv3 protocol")
CUT_OFF = Result(CheckStatus.L7RSP)
REFUSED = "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9"


def conversation() -> Conversation:
    """The same for all servers."""
    return Conversation(REQUEST, ServerReply(_bound, 2), reset_on_close=True)


def _bound(data: bytes, last: bool) -> Result | Meaning:
    if len(data) < RESPONSE_LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    incomplete = CUT_OFF if last else Meaning.INCOMPLETE
    if not data.startswith(SEQUENCE):
        return OTHER_PROTOCOL
    if len(data) < HEAD_LENGTH:
        return incomplete
    at, length = HEAD_LENGTH, data[1]
    if length & MANY_BYTES:
        count = length - MANY_BYTES
        if len(data) < 1 + count:
            return incomplete
        if count not in (2, 4):
            return OTHER_PROTOCOL
        at, length = at + count, int.from_bytes(data[at : at + count], "big")
    return _code(data[at:]) if len(data) >= at + length else incomplete


def _code(message: bytes) -> Result:
    """The verdict on a whole message, without its own tag and length."""
    if not message.startswith(BIND_RESPONSE):
        return OTHER_PROTOCOL
    operation = message[len(BIND_RESPONSE) :]
    length = operation[0] if operation else 0
    result = operation[1 + (length - MANY_BYTES if length & MANY_BYTES else 0) :]
    if not result.startswith(RESULT) or len(result) == len(RESULT):
        return OTHER_PROTOCOL
    code = result[len(RESULT)]
    return Result(CheckStatus.L7STS, code, REFUSED) if code else SUCCESS
