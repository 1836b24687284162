"""Weights and session limits as an operator orders them and an agent reports them. Pure.

Owns their forms and what is said of a wrong one, in HAProxy's words (management manual 9.3,
`set weight`, `set maxconn server`). Knows neither server nor record.
"""

from __future__ import annotations

from proxy.config.model.settings import SERVER_WEIGHT_MAX

MAXCONN_MAX = 2_147_483_647  # as in the configuration
DIGITS_MAX = 10  # of a weight that are looked at
_DIGITS = "0123456789"


class OrderedValueError(ValueError):
    """A value that has no meaning; the text says why."""


def _number_length(text: str) -> int:
    return next((at for at, digit in enumerate(text) if digit not in _DIGITS), len(text))


def weight_of(text: str, initial: int, *, fixed: bool = False) -> int:
    """The weight that `<w>` or `<w>%` means, -1 for back to the beginning.

    Raises OrderedValueError. `fixed`: the backend's algorithm is static, a server has its initial
    weight or none.
    """
    digits = text.removeprefix("-").removeprefix("+")
    length = _number_length(digits)
    if length == 0:
        raise OrderedValueError("Empty weight string empty or preceded by garbage")
    number = digits[:length].lstrip("0")[:DIGITS_MAX] or "0"  # more of them are too many anyway
    value = int(number) * (-1 if text.startswith("-") else 1)
    rest = digits[length:]
    if rest not in ("", "%"):
        raise OrderedValueError("Trailing garbage in weight string")
    if rest == "%":
        if value < 0:
            raise OrderedValueError("Relative weight must be positive.")
        weight = min(initial * value // 100, SERVER_WEIGHT_MAX)
    elif 0 <= value <= SERVER_WEIGHT_MAX:
        weight = value
    else:
        raise OrderedValueError("Absolute weight can only be between 0 and 256 inclusive.")
    if fixed and weight not in (0, initial):
        raise OrderedValueError(
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."
        )
    return -1 if text == "100%" else weight


def maxconn_of(text: str) -> int:
    """The limit that `<n>` means, 0 for none; raises OrderedValueError."""
    if not text:
        raise OrderedValueError("Require <maxconn>.")
    length = _number_length(text)
    if length == 0 or length > len(str(MAXCONN_MAX)) or int(text[:length]) > MAXCONN_MAX:
        raise OrderedValueError("maxconn string empty or preceded by garbage")
    if length < len(text):
        raise OrderedValueError("Trailing garbage in maxconn string")
    return int(text)
