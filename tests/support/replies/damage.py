"""What becomes of a right reply on its way: damaged bytes, in pieces, with any end."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.support.replies.deeds import Deed, End, Give

FULL = 16_384  # bytes of HAProxy's buffer
LONG = 60_000
EDGES = b"\0\x01\x7f\x80\xff\r\n \t0129:;,-+%#"
BYTE_BY_BYTE_MAX = 24
ENDS: tuple[tuple[Deed, ...], ...] = (
    (End.PAUSE, End.SHUT),
    (End.HOLD,),
    (End.PAUSE, End.RESET),
    (End.SHUT,),
)
END_WEIGHTS = (9, 6, 4, 1)
LIE_WEIGHTS = (6, 1, 1, 1, 1, 1)


def some_bytes(chance: Random, length_max: int) -> bytes:
    """Any bytes, often those that end or begin something."""
    length = chance.randrange(1, length_max + 1)
    if chance.random() < 0.5:
        return bytes(chance.choice(EDGES) for _ in range(length))
    return chance.randbytes(length)


def text(chance: Random, *words: str) -> bytes:
    """Some of the words, or what is not one."""
    if chance.random() < 0.1:
        return some_bytes(chance, 12)
    if chance.random() < 0.04:
        return chance.choice((b"x", b"a b ")) * chance.choice((60, 130, 400))
    return " ".join(chance.choice(words) for _ in range(chance.randrange(0, 4))).encode()


def lied(chance: Random, length: int, limit: int) -> int:
    """The length of something, which is sometimes not true; below `limit`."""
    lies = (length, 0, length + 1, length - 1, chance.randrange(limit), limit - 1)
    return int(chance.choices(lies, LIE_WEIGHTS)[0]) % limit


def damaged(chance: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The same with up to three changes; `others` lend pieces."""
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        data = _changed(chance, data, others)[: 2 * LONG]
    return data


def _changed(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    to = min(len(data), at + chance.choice((0, 1, 2, 4, 9)))
    kind = chance.choices(range(8), (4, 2, 4, 3, 2, 2, 2, 1))[0]
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[at:] if chance.random() < 0.3 else data[:at] + data[to:]
    if kind == 2 and at < len(data):
        flipped = data[at] ^ (1 << chance.randrange(8))
        return data[:at] + bytes([flipped]) + data[at + 1 :]
    if kind == 3:
        return data[:at] + some_bytes(chance, 4) + data[to:]
    if kind == 4:
        return data[:to] + data[at:]
    if kind == 5 and others:
        other = chance.choice(others)
        begin = chance.randrange(len(other) + 1)
        return data[:at] + other[begin : begin + chance.randrange(1, 12)] + data[to:]
    if kind == 6:
        return data * chance.randrange(2, 4)
    return _filled(chance, data, at)


def _filled(chance: Random, data: bytes, at: int) -> bytes:
    """As long as the buffer, or nearly, or much longer."""
    wanted = chance.choice((FULL, LONG)) + chance.randrange(-3, 4)
    filler = chance.choice((b"x", b"\0", b"a\r\n", b"\xff", b"1", b" ", data[:64] or b"y"))
    missing = max(0, wanted - len(data))
    fill = (filler * (missing // len(filler) + 1))[:missing]
    return data[:at] + fill + data[at:]


def delivered(chance: Random, data: bytes) -> tuple[Deed, ...]:
    """The bytes, whole or in pieces."""
    kind = chance.random()
    cuts: list[int] = []
    if kind < 0.1 and 1 < len(data) <= BYTE_BY_BYTE_MAX:
        cuts = list(range(1, len(data)))
    elif kind < 0.5 and len(data) > 1:
        reach = min(len(data), chance.choice((16, 200, LONG)))
        cuts = sorted({chance.randrange(1, reach) for _ in range(chance.randrange(1, 4))} - {0})
    deeds: list[Deed] = []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        deeds += [Give(data[begin:end]), End.PAUSE]
    return tuple(deeds[:-1])


def ended(chance: Random) -> tuple[Deed, ...]:
    """How the server leaves: in order, not at all, by a reset, or in order with its last bytes."""
    return chance.choices(ENDS, END_WEIGHTS)[0]
