"""What holds for any first bytes: what is said of them for good stays so."""

from __future__ import annotations

from tests.support.content.looking import EXPRESSIONS, LATER, look

EVERY = (*EXPRESSIONS, *LATER)
GROWING = ("req.len", "req.payload(2,0)")  # all that is there: never settled


def keeps_what_is_settled(content: bytes, end: int) -> None:
    """What was said of the first bytes, and not for now, holds when there are more."""
    for expression in EVERY:
        before, after = look(expression, content[:end]), look(expression, content)
        if not before.unsettled:
            assert after == before, (expression, end, content)
        elif expression in GROWING:
            assert after.unsettled
