"""The words of conditions and what runs them are one vocabulary; jumps lead forward."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from proxy.config.lines.rules.aliases import ALIASES, ANSWER_ALIASES
from proxy.config.lines.rules.condition import flattened, parse_clauses
from proxy.config.lines.rules.converters import CONVERTERS
from proxy.config.lines.rules.expression import parse_expression
from proxy.config.lines.rules.fetches import FETCHES, PREDEFINED
from proxy.config.lines.rules.table_words import TABLE_CONVERTERS
from proxy.config.linking.rules.conditions import CONSTANTS, OwnNumbers
from proxy.config.linking.rules.lists import ListTable
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import ACCEPTED, REJECTED, Condition, Term
from proxy.config.model.settings import Origin
from proxy.rules import program
from proxy.rules.program import Conditions, Seen
from shm.segment import Segment
from shm.shape import Shape

HEADERS = b"X-A: one, two\r\nHost: h\r\nX-A: three\r\n"


class Compiled(NamedTuple):
    condition: Condition
    lists: tuple[bytes, ...]


def condition(text: str, *, unless: bool = False) -> Compiled:
    lists = ListTable()

    def linked(expression, then: int, otherwise: int) -> Term:  # type: ignore[no-untyped-def]
        return Term(
            expression.fetch,
            expression.matcher,
            then,
            otherwise,
            text=next(iter(expression.arguments), ""),
            lists=lists.numbers(expression),
        )

    clauses = parse_clauses(Origin(), text.split(), {}, lambda _: None)
    return Compiled(flattened(clauses, linked, unless=unless), lists.every)


@pytest.fixture(scope="module")
def segment() -> Segment:
    return Segment.create(
        Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
    )


def holds(segment: Segment, wanted: Compiled, headers: bytes = HEADERS) -> bool:
    seen = Seen(b"GET", b"/a?b=c", b"HTTP/1.1", headers, client=("127.0.0.1", 1))
    return Conditions(segment, [wanted.condition], wanted.lists).holds(0, seen)


def test_every_word_of_the_configuration_is_run() -> None:
    named = {name for fetch in FETCHES.values() for name in (fetch.name, fetch.live) if name}
    linked = {*CONSTANTS, "own_name", "success", *OwnNumbers._fields}  # as constants
    configured = named - linked - {"http_auth_group"}  # a question
    said = (*ALIASES.values(), *ANSWER_ALIASES.values())
    of_aliases = {each.value.fetch for each in said if each.value is not None}
    assert configured | of_aliases | {"nothing"} == program.FETCHES.keys()
    of_tables = {word.name for word in TABLE_CONVERTERS.values()}
    fine = {"ms_ltime", "ms_utime", "us_ltime", "us_utime"}
    without = TABLE_CONVERTERS.keys() | {"sha1", "sha2"} | fine  # they are digests, and one
    own = {"map", "fine_time", "usable"}
    without = without | {"nbsrv"}  # a backend's number by its name, then that
    assert (CONVERTERS.keys() - without) | of_tables | own == program.CONVERTERS.keys()
    assert {matcher.value for matcher in Matcher} == program.MATCHERS.keys()


def test_every_predefined_condition_is_an_expression() -> None:
    for text in PREDEFINED.values():
        assert parse_expression(Origin(), tuple(text.split()), pytest.fail)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("TRUE", True),
        ("FALSE", False),
        ("!FALSE", True),
        ("! FALSE", True),
        ("!!FALSE", False),
        ("TRUE FALSE", False),
        ("TRUE !FALSE", True),
        ("FALSE or TRUE", True),
        ("FALSE TRUE || TRUE FALSE || TRUE TRUE", True),
        ("{ path /a } !{ path /b } or FALSE", True),
        ("{ req.hdr(x-a) two }", True),
        ("{ req.fhdr(x-a) two }", False),
        ("{ req.hdr(x-a) three }", True),
        ("{ req.hdr(x) one }", False),
        ("!{ req.hdr(x) one }", True),
        ("{ src 127.0.0.0/30 }", True),
        ("{ dst 127.0.0.0/30 }", False),
        ("{ dst_port 0 }", False),
    ],
)
def test_a_condition_and_its_opposite(segment: Segment, text: str, true: bool) -> None:
    assert holds(segment, condition(text)) == true
    assert holds(segment, condition(text, unless=True)) != true


def test_every_jump_leads_forward() -> None:
    found, _ = condition("{ path /a } !{ path /b } FALSE or !TRUE or TRUE LOCALHOST !FALSE")
    for position, term in enumerate(found.terms):
        for jump in (term.then, term.otherwise):
            assert jump in (ACCEPTED, REJECTED) or position < jump < len(found.terms)


@pytest.mark.parametrize(
    "headers",
    [b"", b"\r\n", b":", b"X-A", b"X-A:", b"X-A: one", b"x-a:,", b'X-A: "one', b'X-A: "\\', b"\n"],
)
def test_headers_of_any_form_end_where_they_end(segment: Segment, headers: bytes) -> None:
    assert holds(segment, condition("{ req.hdr(x-a) one }"), headers) == (headers == b"X-A: one")


def test_an_unknown_condition_is_an_error(segment: Segment) -> None:
    with pytest.raises(IndexError):
        Conditions(segment, []).holds(0, Seen())
