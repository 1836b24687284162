"""`option mysql-check`: the first packets of a MySQL or MariaDB server. Pure.

Owns the client's packets and the verdicts on the server's. With a user the login is sent before
the greeting has come, and QUIT behind it: one write, one wait. A user needs to have no password.
"""

from __future__ import annotations

from proxy.config.model.checks import MysqlCheck, MysqlLogin
from proxy.health.dialect.conversation import Conversation, Meaning, ServerReply, c_text
from proxy.health.dialect.seam import Result
from shm.check_status import CheckStatus

HEADER_LENGTH = 4  # of a packet: three bytes of length, one of its number
ERROR = 0xFF  # the first byte of an error packet; two bytes of code are behind it
QUIT = b"\x01\0\0\0\x01"
# Capabilities, the largest packet, and from 4.1 on the character set (UTF-8) and a filler.
_SINCE_41 = b"\0\x80\0\x01" + b"\x21" + bytes(23)
LOGINS = {
    MysqlLogin.BEFORE_41: (b"\0\x80" + b"\0\0\x01", b""),
    MysqlLogin.SINCE_41: (b"\0\x82\0\0" + _SINCE_41, b""),
    MysqlLogin.SINCE_80: (b"\0\x82\x08\0" + _SINCE_41, b"mysql_native_password\0"),
}  # before and behind the name and the empty password


def conversation(check: MysqlCheck) -> Conversation:
    """Without a user nothing is sent: the server counts a broken login."""
    if check.user is None:
        return Conversation(ServerReply(_greeting, 2))
    before, behind = LOGINS[MysqlLogin(check.login)]
    login = before + check.user.encode() + b"\0\0" + behind
    packet = len(login).to_bytes(3, "little") + b"\x01" + login
    return Conversation(packet + QUIT, ServerReply(_logged_in, 3))


def _greeting(data: bytes, last: bool) -> Result | Meaning:
    end = _packet_end(data, 0)
    if end is None:
        return _invalid(last)
    return _error(data, 0) or _passed(data)


def _logged_in(data: bytes, last: bool) -> Result | Meaning:
    first_end = _packet_end(data, 0)
    if first_end is None:
        return _invalid(last)
    refused = _error(data, 0)
    if refused:
        return refused
    if _packet_end(data, first_end) is None:
        return _invalid(last)
    return _error(data, first_end) or _passed(data)


def _packet_end(data: bytes, start: int) -> int | None:
    """Where the packet at `start` ends; None while there is less of it."""
    end = start + HEADER_LENGTH + int.from_bytes(data[start : start + 3], "little")
    return end if end <= len(data) else None


def _invalid(last: bool) -> Result | Meaning:
    return Result(CheckStatus.L7RSP) if last else Meaning.INCOMPLETE


def _error(data: bytes, start: int) -> Result | None:
    """What an error packet says; None where the packet is none."""
    body = data[start + HEADER_LENGTH :]
    if body[:1] != bytes([ERROR]):
        return None
    return Result(CheckStatus.L7STS, int.from_bytes(body[1:3], "little"), c_text(body[3:]))


def _passed(data: bytes) -> Result:
    """The greeting has the server's version behind that of its protocol."""
    return Result(CheckStatus.L7OK, logged=c_text(data[HEADER_LENGTH + 1 :]))
