"""The grammar and the predicates of `.if`, `.elif` and -cc."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.text.condition import LANGUAGE_VERSION, evaluate
from proxy.config.text.messages import ConfigError

ENVIRONMENT = {"SET": "", "NAME": "value"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", False),
        ("  ", False),
        ("0", False),
        ("00", False),
        ("1", True),
        ("17", True),
        ("!1", False),
        ("!!1", True),
        ("defined(SET)", True),
        ("defined(NOSUCH)", False),
        ("defined()", False),
        ("streq(a,a)", True),
        ("streq(a,b)", False),
        ("streq(a, a)", False),
        ('streq("a)b","a)b")', True),
        ("streq(,)", True),
        ("strneq(a,b)", True),
        ("strstr(abc,b)", True),
        ("feature(EPOLL)", True),
        ("feature(LUA)", False),
        ("enabled(SPLICE)", True),
        (f"version_atleast({LANGUAGE_VERSION})", True),
        ("version_atleast(2.4)", True),
        ("version_atleast(2.6.12-1)", True),
        ("version_atleast(3.2-dev1)", True),
        ("version_atleast(99)", False),
        ("version_before(99.1.2)", True),
        ("version_before(2.4)", False),
        ("openssl_version_atleast(1.1.1)", False),
        ("1 && 0 || 1", True),
        ("0 || 1 && 0", False),
        ("(0 || 1) && 1", True),
        ("!(1 && 0)", True),
        ("defined(SET) && !defined(NOSUCH)", True),
    ],
)
def test_a_condition_has_the_value_that_haproxy_gives_it(text: str, value: bool) -> None:
    assert evaluate(text, ENVIRONMENT) is value


@pytest.mark.parametrize(
    "text",
    [
        *("foo(1)", "foo", "defined", "defined(a", "streq(a)", "streq(a,b,c)", "(1", "1)", "1 1"),
        *("1 &&", "&& 1", "||", "!", "version_atleast(x)", "1 & 0", "(" * 40 + "1" + ")" * 40),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        evaluate(text, ENVIRONMENT)


def test_an_error_in_the_second_half_is_found_although_the_first_decides() -> None:
    with pytest.raises(ConfigError, match="foo"):
        evaluate("1 || foo(1)", ENVIRONMENT)


@given(st.text(alphabet="01!&|() ,\"'adefinstrq.", max_size=60))
def test_no_text_gives_anything_but_a_value_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert evaluate(text, ENVIRONMENT) in (True, False)
