"""`option ssl-hello-chk`: a hello of SSL 3.0, to which every TLS server has an answer. Pure.

Owns the hello and the verdict: a handshake or an alert comes from a TLS server. There are no keys,
and nothing is negotiated.
"""

from __future__ import annotations

from proxy.health.dialect.conversation import Conversation, Meaning, ServerReply
from proxy.health.dialect.seam import Result
from shm.check_status import CheckStatus

RECORD_LENGTH_MIN = 5  # kind, version, length
RECORD_KINDS = (b"\x15", b"\x16")  # alert, handshake
SSL_3 = b"\x03\0"
MARK = b"HAPROXYSSLCHK\n" * 2  # 28 bytes that should be random, as HAProxy has them
CIPHERS = b"".join(number.to_bytes(2, "big") for number in (*range(0x01, 0x1C), *range(0x2F, 0x3B)))


def conversation(now_seconds: int) -> Conversation:
    """One check: its hello has the time of day."""
    reply = ServerReply(_hello, 2, CheckStatus.L6RSP, CheckStatus.L6TOUT)
    return Conversation(client_hello(now_seconds), reply, reset_on_close=True)


def client_hello(now_seconds: int) -> bytes:
    """The record."""
    random = now_seconds.to_bytes(4, "big") + MARK
    no_session, no_compression = b"\0", b"\x01\0"
    ciphers = len(CIPHERS).to_bytes(2, "big") + CIPHERS
    message = SSL_3 + random + no_session + ciphers + no_compression
    handshake = b"\x01" + len(message).to_bytes(3, "big") + message
    return b"\x16" + SSL_3 + len(handshake).to_bytes(2, "big") + handshake


def _hello(data: bytes, last: bool) -> Result | Meaning:
    if len(data) < RECORD_LENGTH_MIN and not last:
        return Meaning.INCOMPLETE
    return Result(CheckStatus.L6OK if data.startswith(RECORD_KINDS) else CheckStatus.L6RSP)
