"""Quotes, escapes, comments and environment variables of one line."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.text.lexer import LINE_MAX, WORDS_MAX, LexerError, split_line

ENVIRONMENT = {"NAME": "value", "TWO": "one two", "EMPTY": "", ".LINE": "17"}


@given(st.text(st.sampled_from(" \t\r\v\f\x1c\x85\xa0#$ab{}:"), max_size=30))
def test_a_line_without_quotes_is_split_as_one_with_them(text: str) -> None:
    assert ("", *split_line(text, ENVIRONMENT)) == split_line(f"'' {text}", ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("   \t \r", ()),
        ("# all comment", ()),
        ("bind :80 # comment", ("bind", ":80")),
        ("a#b", ("a",)),
        ("bind\t:80\r", ("bind", ":80")),
        (r"a\ b", ("a b",)),
        (r"a\#b", ("a#b",)),
        (r"a\\b", (r"a\b",)),
        (r"\t\n\r", ("\t\n\r",)),
        (r"\x41\x7a", ("Az",)),
        (r"\q", (r"\q",)),
        ("a\\", ("a\\",)),
        ('"a b" c', ("a b", "c")),
        ('"a#b"', ("a#b",)),
        ('a"b"c', ("abc",)),
        ('""', ("",)),
        ("''", ("",)),
        ("'a\"b'", ('a"b',)),
        ('"a\'b"', ("a'b",)),
        (r'"a\"b"', ('a"b',)),
        (r"'a\tb'", (r"a\tb",)),
        ("'$NAME'", ("$NAME",)),
        ("$NAME", ("$NAME",)),
        ('"$NAME"', ("value",)),
        ('"${NAME}"', ("value",)),
        ('x"${NAME}"y', ("xvaluey",)),
        ('"$NAME.x"', ("value.x",)),
        (r'"a\$NAME"', ("a$NAME",)),
        ('"$NOSUCH"', ("",)),
        ('"${NOSUCH-a b}"', ("a b",)),
        ('"${NOSUCH-}"', ("",)),
        ('"${NAME-other}"', ("value",)),
        ('"${EMPTY-other}"', ("",)),
        ('"${TWO}"', ("one two",)),
        ('"${TWO[*]}"', ("one", "two")),
        ('"${EMPTY[*]}"', ("",)),
        ('"${NOSUCH[*]-x y}"', ("x", "y")),
        ('"${.LINE}"', ("17",)),
    ],
)
def test_a_line_is_split_as_haproxy_splits_it(text: str, words: tuple[str, ...]) -> None:
    assert split_line(text, ENVIRONMENT) == words


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('a "b', "unmatched quote at position 3"),
        ("'b", "unmatched quote at position 1"),
        (r"\x4", "invalid hexadecimal escape at position 1"),
        (r"a\xzz", "invalid hexadecimal escape at position 2"),
        (r"\x00", "NUL"),
        ("a\0b", "NUL character at position 2"),
        ('"${NAME"', "unmatched brace"),
        ('"${NAME x}"', "unmatched brace"),
        ('"${NAME[x]}"', "unmatched brace"),
        ('"$"', "invalid name"),
        ('"$1"', "invalid name"),
        ('"${}"', "invalid name"),
        ('"${.NOSUCH}"', "unknown pseudo variable"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_position(text: str, complaint: str) -> None:
    with pytest.raises(LexerError, match=complaint):
        split_line(text, ENVIRONMENT)


def test_the_number_of_words_is_limited() -> None:
    assert len(split_line("w " * WORDS_MAX, {})) == WORDS_MAX
    with pytest.raises(LexerError, match="more than 64 words"):
        split_line("w " * (WORDS_MAX + 1), {})


def test_the_length_of_a_line_is_limited_before_and_after_expansion() -> None:
    assert split_line("w" * LINE_MAX, {}) == ("w" * LINE_MAX,)
    with pytest.raises(LexerError, match="too long"):
        split_line("w" * (LINE_MAX + 1), {})
    with pytest.raises(LexerError, match="once expanded"):
        split_line('"$A$A"', {"A": "w" * LINE_MAX})


@given(st.text(alphabet=string.printable + "é\0\udcff$\"'\\{}[]*-#", max_size=200))
def test_no_text_gives_anything_but_words_or_a_lexer_error(text: str) -> None:
    try:
        words = split_line(text, ENVIRONMENT)
    except LexerError:
        return
    assert len(words) <= WORDS_MAX
    assert all("\0" not in word for word in words)


@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")), max_size=20)
)
def test_words_in_strong_quotes_come_back_as_they_were(words: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\"'\"'") + "'" for word in words)
    assert split_line(quoted, {}) == tuple(words)
