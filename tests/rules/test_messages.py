"""Converters of whole messages: what no oracle says, and that what is settled stays so.

Under the address sanitizer (tests/run_sanitized.sh) no look goes beyond the bytes.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.message_target import play
from tests.support.generated import sample
from tests.support.messages import fix, mqtt
from tests.support.messages.converting import Made, made

SHORT = Made(None, True)


@pytest.mark.parametrize("packet", [mqtt.connect(), mqtt.connect(5), mqtt.connack()])
def test_a_packet_that_is_cut_anywhere_is_waited_for(packet: bytes) -> None:
    for end in range(1, len(packet)):
        assert made("mqtt_is_valid", packet[:end]) == SHORT, end
        assert made("mqtt_field_value(connect,protocol_name)", packet[:end]) == SHORT, end
    assert made("mqtt_is_valid", packet) == Made(1, False)
    assert made("mqtt_is_valid", packet + b"and more") == Made(1, False)


def test_a_message_that_is_cut_anywhere_is_waited_for() -> None:
    whole = fix.message()
    for end in range(1, len(whole)):
        assert made("fix_is_valid", whole[:end]) == SHORT, end
    assert made("fix_is_valid", whole) == Made(1, False)
    assert made("fix_is_valid", whole + b"and more") == Made(1, False)


def test_generated_messages(seed: int) -> None:
    play(random.Random(seed), sample(2_000, 200_000))


@pytest.mark.parametrize(
    ("word", "number", "said"),
    [
        ("ms_utime(%Y-%m-%dT%H:%M:%S.%3N)", 1_700_000_000_123, "2023-11-14T22:13:20.123"),
        ("us_utime(%s %N)", 1_700_000_000_123_456, "1700000000 123456000"),
        ("us_utime(%6N|%1N|%9N|%2N)", 1_700_000_000_123_456, "123456|1|123456000|12"),
        ("ms_utime(%H:%M:%S,-3600000)", 1_700_000_000_123, "21:13:20"),
        ("us_utime(%S.%6N,1)", 1_700_000_000_999_999, "21.000000"),
        ("ms_utime(%%N %%3N)", 1_700_000_000_123, "%N %3N"),
        ("ms_utime(100%)", 1_700_000_000_123, "100%"),
    ],
)
def test_fine_times(word: str, number: int, said: str) -> None:
    assert made(word, number) == Made(said.encode(), False)
