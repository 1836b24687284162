"""Names and passwords of requests: HTTP Basic (RFC 7617) against the users of the configuration.

Owns the comparison, whose time says nothing of a password: each user is compared whole. Passwords
are in no message and no log.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor  # imported here: no import works after chroot
from typing import NamedTuple

from proxy.config.model.http import AuthQuestion, User
from proxy.control.http.request import Request
from proxy.passwords import crypted

SCHEME = "basic"
# crypt(3) takes milliseconds of CPU on purpose: one at a time, beside all else
_COMPARING = ThreadPoolExecutor(1, "passwords")


class Presented(NamedTuple):
    """What a client says that it is."""

    name: bytes
    password: bytes


def presented(request: Request) -> Presented | None:
    """The name and password of a request; None without them, or where they are garbled."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != SCHEME:
        return None
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return Presented(name, password) if colon else None


async def answers(questions: Sequence[AuthQuestion], request: Request) -> int:
    """Bit N: the request has the name and password of a user of question N."""
    found = presented(request)
    if found is None or not questions:
        return 0
    if any(user.encrypted for question in questions for user in question.users):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_COMPARING, _answers, questions, found)
    return _answers(questions, found)


def _answers(questions: Sequence[AuthQuestion], found: Presented) -> int:
    known: dict[User, bool] = {}
    for question in questions:
        for user in question.users:
            if user not in known:
                known[user] = is_user(user, found)
    return sum(
        any(known[user] for user in question.users) << number
        for number, question in enumerate(questions)
    )


def is_user(user: User, found: Presented) -> bool:
    """Whether a name and a password are those of the user; one without a password is none's."""
    named = hmac.compare_digest(user.name.encode(errors="surrogateescape"), found.name)
    if user.password is None:
        return False
    wanted = user.password.encode(errors="surrogateescape")
    given = found.password
    if user.encrypted:
        # for another name it is not computed: that a name exists is no secret, its password is
        given = crypted(found.password, wanted) if named else b""
    return hmac.compare_digest(wanted, given) and named and bool(wanted or not user.encrypted)
