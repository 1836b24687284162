"""The ids of sessions: what names one session for ever, in whichever worker it was."""

from __future__ import annotations

from typing import NamedTuple

PLACE_SHIFT = 3  # sessions are aligned to 8 bytes
PLACE_DIGITS = 11
START_DIGITS = 10  # milliseconds since the machine has started: 34 years
WORKER_DIGITS = 2
GENERATION_DIGITS = 2
DIGITS = GENERATION_DIGITS + WORKER_DIGITS + START_DIGITS + PLACE_DIGITS


class SessionId(NamedTuple):
    """Where a session is, and since when: no other one will ever have been there since then."""

    generation: int  # the reload's, its last digits
    worker: int
    started_ms: int
    place: int

    def __str__(self) -> str:
        """The text that commands show and take."""
        return (
            f"0x{self.generation & 0xFF:02x}{self.worker:02x}"
            f"{self.started_ms:0{START_DIGITS}x}{self.place >> PLACE_SHIFT:0{PLACE_DIGITS}x}"
        )


def parse_id(text: str) -> SessionId | None:
    """The id that a text is; None for a text that no session can have."""
    digits = text.lower().removeprefix("0x")
    if len(digits) != DIGITS or not all(each in "0123456789abcdef" for each in digits):
        return None
    worker_at = GENERATION_DIGITS
    start_at = worker_at + WORKER_DIGITS
    place_at = start_at + START_DIGITS
    return SessionId(
        int(digits[:worker_at], 16),
        int(digits[worker_at:start_at], 16),
        int(digits[start_at:place_at], 16),
        int(digits[place_at:], 16) << PLACE_SHIFT,
    )
