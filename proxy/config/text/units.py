"""Numbers, times and sizes in the manual's forms (sections 2.5 and 2.6).

Owns the units and their limits. Each function raises ConfigError with the error of the value; the
caller adds its word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.config.text.messages import ConfigError

TIME_MAX_MS = 2_147_483_647  # HAProxy's limit: a signed 32-bit number of milliseconds, 24.8 days
SIZE_MAX = 2_147_483_647  # bytes

# microseconds per unit, the longer names first
_TIME_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NUMBER = re.compile(r"([0-9]+)(.*)", re.DOTALL)


def parse_time_ms(text: str, warn: Callable[[str], None], default_unit: str = "ms") -> int:
    """Milliseconds of `10s`, `1500us`, `20`, rounded up.

    Text after a unit (`5sec`) is ignored with a warning to `warn`, as in HAProxy 2.6.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ConfigError(f"'{text}' is not a time: give a number and a unit (us, ms, s, m, h, d)")
    written = match[2] or default_unit
    unit = next((unit for unit in _TIME_UNITS if written.startswith(unit)), None)
    if unit is None:
        raise ConfigError(f"unknown time unit '{written}' in '{text}' (us, ms, s, m, h, d)")
    if written != unit:
        warn(f"'{written.removeprefix(unit)}' behind the time unit '{unit}' of '{text}' is ignored")
    microseconds = _decimal(match[1]) * _TIME_UNITS[unit]
    milliseconds = -(-microseconds // 1_000)
    if milliseconds > TIME_MAX_MS:
        raise ConfigError(f"time '{text}' is too long (at most {TIME_MAX_MS} ms, about 24.8 days)")
    return milliseconds


def parse_size(text: str) -> int:
    """Bytes of `16k`, `4m`, `1g`, `16384`."""
    match = _NUMBER.fullmatch(text)
    unit = match[2].lower() if match else ""
    if match is None or unit not in _SIZE_UNITS:
        raise ConfigError(f"'{text}' is not a size: give a number, and k, m or g if you like")
    size = _decimal(match[1]) * _SIZE_UNITS[unit]
    if size > SIZE_MAX:
        raise ConfigError(f"size '{text}' is too large (at most {SIZE_MAX} bytes)")
    return size


def parse_number(text: str, low: int, high: int) -> int:
    """A whole number within `low` and `high`, both included."""
    match = re.fullmatch(r"([+-]?)([0-9]+)", text)
    if match is None:
        raise ConfigError(f"expects a whole number, not '{text}'")
    value = _decimal(match[2])
    if match[1] == "-":
        value = -value
    if not low <= value <= high:
        raise ConfigError(f"must be between {low} and {high} (was {text})")
    return value


def _decimal(digits: str) -> int:
    """The value of ASCII digits; int() refuses more than 4,300 of them."""
    significant = digits.lstrip("0") or "0"
    return int(significant[:20])  # a longer one is above every limit
