"""Times, sizes and numbers at their limits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import SIZE_MAX, TIME_MAX_MS, parse_number, parse_size, parse_time_ms


def refuse(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("20", 20),
        ("1us", 1),
        ("1000us", 1),
        ("1001us", 2),
        ("5ms", 5),
        ("10s", 10_000),
        ("28801s", 28_801_000),
        ("3m", 180_000),
        ("2h", 7_200_000),
        ("24d", 2_073_600_000),
        (str(TIME_MAX_MS), TIME_MAX_MS),
        ("000000000000000000000000010", 10),
    ],
)
def test_times_are_milliseconds_rounded_up(text: str, milliseconds: int) -> None:
    assert parse_time_ms(text, refuse) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1.5s", "1 s", "1x", "1u", "s", "25d", "2147483648"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_time_ms(text, refuse)


@pytest.mark.parametrize(
    ("text", "milliseconds", "rest"),
    [
        ("5sec", 5_000, "ec"),
        ("5mins", 300_000, "ins"),
        ("5msx", 5, "x"),
        ("1m30s", 60_000, "30s"),
        ("2days", 172_800_000, "ays"),
    ],
)
def test_what_stands_behind_a_unit_is_named(text: str, milliseconds: int, rest: str) -> None:
    told: list[str] = []
    assert parse_time_ms(text, told.append) == milliseconds
    assert [f"'{rest}' behind the time unit" in warning for warning in told] == [True]


def test_a_number_of_thousands_of_digits_is_only_too_long() -> None:
    with pytest.raises(ConfigError, match="too long"):
        parse_time_ms("9" * 10_000, refuse)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("100", 100), ("16k", 16_384), ("2M", 2_097_152), ("1g", 1 << 30)],
)
def test_sizes_have_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_sizes_end_at_their_limit() -> None:
    assert parse_size(str(SIZE_MAX)) == SIZE_MAX
    for text in (str(SIZE_MAX + 1), "2g", "1t", "k", "-1", "1kb"):
        with pytest.raises(ConfigError):
            parse_size(text)


@pytest.mark.parametrize("text", ["", "x", "1x", "--1", "1.0", "٣", "1_000", " 1"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        parse_number(text, -10, 10)


def test_numbers_hold_within_their_limits_only() -> None:
    assert parse_number("-5", -5, 5) == -5
    assert parse_number("+5", -5, 5) == 5
    for text in ("-6", "6", "9" * 5_000):
        with pytest.raises(ConfigError, match="between -5 and 5"):
            parse_number(text, -5, 5)


@given(st.text(max_size=30))
def test_no_text_gives_anything_but_a_value_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_time_ms(text, lambda _text: None) >= 0
    with contextlib.suppress(ConfigError):
        assert parse_size(text) >= 0
