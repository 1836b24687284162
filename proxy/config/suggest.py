"""The word that was probably meant.

Owns one decision: whether a known word is near enough to an unknown one to be worth a hint.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NEAR = 0.6  # share of matching characters below which a hint would mislead


def hint(unknown: str, known: Iterable[str]) -> str:
    """`; did you mean 'balance' maybe ?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(unknown[:64], known, n=1, cutoff=NEAR)
    return f"; did you mean '{near[0]}' maybe ?" if near else ""
