"""Quotes and backslashes in the arguments of fetches and converters: what HAProxy 2.6 makes of them."""

from __future__ import annotations

import pytest

from proxy.config.text.calls import whole_calls
from proxy.config.text.messages import ConfigError


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        (r'str("a\bc")', r"a\bc"),
        (r'str("a\\bc")', r"a\bc"),
        (r'str("a\"c")', 'a"c'),
        (r'str("a\$c")', r"a\$c"),
        (r'str("a\,\)c")', r"a\,\)c"),
        (r'str("a\nb\x41")', "a\nb\\x41"),
        (r'str("a\ b\#c")', r"a b\#c"),
        (r"str(a\bc)", r"a\bc"),
        (r"str(a\\bc)", r"a\bc"),
        (r"str(a\"b)", 'a"b'),
        (r"str(a\ b)", "a b"),
        (r"str('a\nb')", r"a\nb"),
    ],
)
def test_an_argument_is_haproxys(text: str, argument: str) -> None:
    assert whole_calls(text).fetch.arguments == (argument,)


def test_a_backslash_hides_no_delimiter() -> None:
    with pytest.raises(ConfigError):
        whole_calls(r"str(a\)c)")
