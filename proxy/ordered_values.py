"""Weights and session limits as an operator orders them and an agent reports them. Pure.

Owns their forms and what is said of a wrong one, in HAProxy's words (management manual 9.3,
`set weight`, `set maxconn server`). Knows neither server nor record.
"""

from __future__ import annotations

import re

from proxy.config.model.settings import SERVER_WEIGHT_MAX

MAXCONN_MAX = 2_147_483_647  # as in the configuration
VALUE_MAX = (1 << 63) - 1  # what is larger counts for this, as strtol(3) has it
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*([0-9]*)")


class OrderedValueError(ValueError):
    """A value that has no meaning; the text says why."""


def _number(text: str) -> tuple[int, str] | None:
    """The number that a text begins with, and what is behind it; None without one."""
    found = _NUMBER.match(text)
    assert found is not None
    if not text[: found.end()].endswith(tuple("0123456789")):
        return None
    digits = found[2] or "0"
    size = int(digits) if len(digits) < len(str(VALUE_MAX)) else VALUE_MAX
    return -size if found[1] == "-" else size, text[found.end() :]


def weight_of(text: str, initial: int, *, fixed: bool = False) -> int:
    """The weight that `<w>` or `<w>%` means, -1 for back to the beginning.

    Raises OrderedValueError. `fixed`: the backend's algorithm is static, a server has its initial
    weight or none.
    """
    number = _number(text)
    if number is None:
        raise OrderedValueError("Empty weight string empty or preceded by garbage")
    value, rest = number
    if rest == "%":
        if value < 0:
            raise OrderedValueError("Relative weight must be positive.")
        weight = min(initial * value // 100, SERVER_WEIGHT_MAX)
    elif not 0 <= value <= SERVER_WEIGHT_MAX:
        raise OrderedValueError("Absolute weight can only be between 0 and 256 inclusive.")
    elif rest:
        raise OrderedValueError("Trailing garbage in weight string")
    else:
        weight = value
    if fixed and weight not in (0, initial):
        raise OrderedValueError(
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."
        )
    return -1 if text == "100%" else weight


def maxconn_of(text: str) -> int:
    """The limit that `<n>` means, 0 for none; raises OrderedValueError."""
    if not text:
        raise OrderedValueError("Require <maxconn>.")
    number = _number(text)
    value, rest = (-1, "") if number is None else number
    if rest:
        raise OrderedValueError("Trailing garbage in maxconn string")
    if not 0 <= value <= MAXCONN_MAX:
        raise OrderedValueError("maxconn string empty or preceded by garbage")
    return value
