"""A cache of large replies: one equal to the last is recognized by its bytes, not read again.

Owns each nameserver's last large answer to a question. A reply with the same bytes but for the id
and the times to live, all of which differ by the same amount (as from a cache, second by second),
is the same answer with another time to live. Any other is read: in another order of records the
compression pointers differ. Reading a small reply costs less than its entry.
"""

from __future__ import annotations

import struct
from operator import sub

import msgspec

from resolverd.dns.answer import Answer, Question, Status, judge, match
from resolverd.dns.wire import ID_BYTES, TTL_BYTES, TTL_MAX_S, TYPE_A, TYPE_AAAA, WireReply

LARGE_BYTES = 512  # up to here reading takes some 20 us
_FIELDS_AROUND_LIFE = struct.Struct(">H6xH")  # type, class and time to live between, length
_KIND_BYTES = 4  # of type and class, before the time to live
_SIZE_BYTES = 2  # of the length, behind it
KNOWN_MAX = 256  # answers: of 64 KiB each, and 3 times that for their comparison, they are 64 MiB


class KnownReply:
    """A valid answer, and the bytes of the messages that give the same."""

    def __init__(self, wire: bytes, reply: WireReply, answer: Answer) -> None:
        """`reply` has read `wire`, which means `answer`."""
        mask = bytearray(b"\xff" * len(wire))
        mask[:ID_BYTES] = bytes(ID_BYTES)
        for place in reply.life_places:
            mask[place : place + TTL_BYTES] = bytes(TTL_BYTES)
        self._size = len(wire)
        self._mask = int.from_bytes(mask)
        self._content = int.from_bytes(wire) & self._mask
        ends = [0, *[place + TTL_BYTES for place in reply.life_places]]
        gaps = map(sub, reply.life_places, ends)
        self._lives = struct.Struct(">" + "".join([f"{gap}xI" for gap in gaps]))
        self._lives_s = self._lives.unpack_from(wire)
        self._answer = answer
        # a pointer into an id or a time to live makes a name that changes with them
        self.usable = max(self._lives_s) <= TTL_MAX_S and not any(
            0 in mask[start:end] for start, end in reply.pointed
        )

    def read(self, wire: bytes) -> Answer | None:
        """The answer with the time to live of this message; None if the message differs."""
        if len(wire) != self._size or int.from_bytes(wire) & self._mask != self._content:
            return None
        lives_s = self._lives.unpack_from(wire)
        if lives_s == self._lives_s:
            return self._answer
        changes_s = set(map(sub, lives_s, self._lives_s))
        if len(changes_s) > 1 or max(lives_s) > TTL_MAX_S:
            return None
        return msgspec.structs.replace(self._answer, ttl_s=self._answer.ttl_s + changes_s.pop())


def keeps_its_meaning(wire: bytes, question: Question) -> bool:
    """Whether a message says the same with other ids, times to live, and addresses in their places.

    Not if a compression pointer leads into one of these: the name that it makes would change.
    """
    reply = match(wire, question)
    if reply is None:
        return False
    judge(reply, question)
    places = [(0, ID_BYTES)]
    for place in reply.life_places:
        kind, size = _FIELDS_AROUND_LIFE.unpack_from(wire, place - _KIND_BYTES)
        places.append((place, place + TTL_BYTES))
        if kind in (TYPE_A, TYPE_AAAA):
            start = place + TTL_BYTES + _SIZE_BYTES
            places.append((start, start + size))
    return not any(
        start < last and first < end for first, last in reply.pointed for start, end in places
    )


class ReplyReader:
    """Reads replies as `read_reply` does, large repeated ones by comparison."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Question], KnownReply] = {}

    def read(self, wire: bytes, nameserver: str, question: Question) -> Answer | None:
        """The answer of this nameserver's message to the question; None if it is no reply."""
        key = (nameserver, question)
        known = self._known.get(key)
        answer = None if known is None else known.read(wire)
        if answer is not None:
            return answer
        reply = match(wire, question)
        if reply is None:
            return None
        answer = judge(reply, question)
        if len(wire) > LARGE_BYTES and answer.status is Status.VALID and not answer.partial:
            self._remember(key, KnownReply(wire, reply, answer))
        return answer

    def _remember(self, key: tuple[str, Question], known: KnownReply) -> None:
        self._known.pop(key, None)
        if not known.usable:
            return
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]  # the oldest
        self._known[key] = known
