"""Formats of checks: what is of the moment, and that nothing a server says is too much."""

from __future__ import annotations

import random
import re
import time
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.lines.rules.aliases import ANSWER_ALIASES
from proxy.config.lines.rules.converters import CONVERTERS
from proxy.config.lines.rules.fetches import FETCHES, Argument, Scope
from proxy.config.lines.rules.table_words import TABLE_CONVERTERS
from proxy.config.lines.rules.values import ValueReader
from proxy.config.model.rules import Format
from proxy.rules.formats import CheckFacts, Formats
from proxy.rules.program import Seen
from shm.segment import Segment
from shm.shape import Shape

SIZE_MAX = 16_383  # of what a format says
SCRATCH = 16_384  # of what a converter makes
OF_VARIABLES = {"strcmp", "secure_memcmp", "set-var", "unset-var"}
ARGUMENTS = {
    "bytes": "(3,40000)",
    "field": "(2,a,0)",
    "word": "(2,a,0)",
    "ipmask": "(24,48)",
    "concat": "(a,,b)",
    "ltime": "(%Y %c)",
    "utime": "(%Y %c,9)",
    "regsub": "([a-f],<\\\\0>,g)",
    **dict.fromkeys(("ms_ltime", "ms_utime", "us_ltime", "us_utime"), "(%Y %N)"),
    "add_item": "(-,,x)",
    "mqtt_field_value": "(connect,protocol_name)",
    "fix_tag_value": "(MsgType)",
    "iif": "(yes,no)",
    "ltrim": "(a)",
    "rtrim": "(a)",
    "param": "(a,b)",
    "be2dec": "(:,3)",
    "be2hex": "(::,2)",
    "digest": "(sha512)",
    "hmac": "(sha384,a2V5)",
    "http_date": "(3,us)",
}
OF_BYTES = ("b64dec", "ub64dec", "htonl", "sha1", "sha2", "(sha512)", "(sha384,a2V5)")


@pytest.fixture(scope="module")
def segment() -> Segment:
    return Segment.create(
        Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
    )


def facts() -> CheckFacts:
    return CheckFacts(0, b"s", 1, 2)


def read(text: str, scope: Scope = Scope.TCP_CHECK) -> Format:
    return ValueReader(scope, {}).format(text)


def said(segment: Segment, text: str, known: CheckFacts | None = None) -> bytes:
    return Formats(segment, [read(text)], process=4_711).text(0, known or facts())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("%t", rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d\.\d{3}"),
        ("%T", rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000"),
        ("%Tl", rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"),
        ("%ms", rb"\d{3}"),
        ("%{+X}ms", rb"[0-9A-F]{2,3}"),
        ("%{+X}Ts", rb"[0-9A-F]{8}"),
        ("%pid", rb"4711"),
        ("%{+X}pid", rb"1267"),
        ("%[uuid]", rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("%[rand(3)]", rb"[0-2]"),
        ("%[rand]", rb"\d{1,10}"),
    ],
)
def test_what_is_of_the_moment(segment: Segment, text: str, form: bytes) -> None:
    assert re.fullmatch(form, said(segment, text))


def test_dates_have_units_and_offsets(segment: Segment) -> None:
    before = time.time()
    moments = [
        int(said(segment, text)) / unit
        for text, unit in (
            ("%[date]", 1),
            ("%[date(0,ms)]", 1_000),
            ("%[date(0,us)]", 1_000_000),
            ("%[date(-60)]", 1),
            ("%Ts", 1),
        )
    ]
    after = time.time()
    moments[3] += 60
    assert all(int(before) <= moment <= after for moment in moments)


def test_the_ends_of_a_connection_are_told(segment: Segment) -> None:
    known = facts()
    known.meet(("127.0.0.1", 4_096), ("::1", 80))
    assert said(segment, "%bi %bp %si %sp", known) == b"127.0.0.1 4096 ::1 80"
    assert said(segment, "%{+X}o%bi%bp", known) == b"7F0000011000"
    known.meet(None, None)
    assert said(segment, "<%bi%bp%[bc_dst]%[bc_dst_port]>", known) == b"<>"


def test_a_text_ends_where_the_buffer_does(segment: Segment) -> None:
    known = facts()
    known.hear(b"a" * SCRATCH)
    assert said(segment, "%[res.payload(0,0)]b", known) == b"a" * SIZE_MAX
    assert said(segment, "%{+Q}[res.payload(0,0)]" * 3, known) == b'"' + b"a" * (SIZE_MAX - 1)
    assert said(segment, "%[res.payload(0,0),hex]", known) == b"61" * (SIZE_MAX // 2) + b"6"


@given(st.data())
def test_no_answer_is_too_much(segment: Segment, data: st.DataObject) -> None:
    """Any bytes through any converters: what comes out is bounded, and the same each time."""
    chance = random.Random(data.draw(st.integers(0, 1 << 32)))
    answer = chance.randbytes(data.draw(st.sampled_from((0, 1, 7, 9_000, SCRATCH))))
    known_here = sorted(CONVERTERS.keys() - TABLE_CONVERTERS.keys() - OF_VARIABLES - {"nbsrv"})
    names = data.draw(st.lists(st.sampled_from(known_here), max_size=4))
    chain = ",lower"
    for last, name in pairwise(["lower", *names]):
        of_field = last in ("fix_tag_value", "mqtt_field_value")
        bare = of_field or chain.endswith(
            (ARGUMENTS["bytes"], *OF_BYTES)
        )  # no number is made of bytes
        between = ",upper" if bare or name == "ipmask" else ""
        chain += f"{between},{name}{ARGUMENTS.get(name, _argument(name))}"
    form = read(f"%[res.payload(0,0){chain}]%[var(check.x)]%{{+E,+Q}}[var(check.x){chain}]")
    value = ValueReader(Scope.TCP_CHECK, {}).expression(f"res.payload(0,0){chain}")
    compiled = Formats(segment, [_numbered(form)], [value])
    known = facts()
    known.hear(answer)
    compiled.assign(0, 0, known)
    known.hear(answer)
    first = compiled.text(0, known)
    assert len(first) <= SIZE_MAX
    assert compiled.text(0, known) == first
    number = compiled.number(0, known)
    assert number is None or -(1 << 63) <= number < 1 << 63
    compiled.forget(0, known)
    compiled.text(0, known)


def _argument(name: str) -> str:
    return "(3)" if name in ("add", "sub", "mul", "div", "mod", "and", "or", "xor") else ""


def _numbered(form: Format) -> Format:
    """The format as it is linked: the variable has number 0."""
    return tuple(
        msgspec.structs.replace(part, value=msgspec.structs.replace(part.value, numbers=(0, 0)))
        if part.value is not None and part.value.variable
        else part
        for part in form
    )


def test_numbers_that_there_are_not_are_errors(segment: Segment) -> None:
    compiled = Formats(segment, [], [])
    for wrong in (
        lambda: compiled.text(0, facts()),
        lambda: compiled.number(0, facts()),
        lambda: compiled.assign(0, 0, facts()),
        lambda: compiled.forget(2, facts()),
    ):
        with pytest.raises(IndexError):
            wrong()


def _answers() -> list[str]:
    """A format of each word that answers have."""
    usual = {Argument.HEADER: "(x-a)", Argument.NAME: "(a)", Argument.VARIABLE: "(txn.a)"}
    fetches = [
        f"%[{name}{usual.get(fetch.argument, '')}]"
        for name, fetch in FETCHES.items()
        if Scope.ANSWER in fetch.scope
        and (fetch.argument in usual or fetch.argument is Argument.NONE)
    ]
    return [*fetches, *(f"%{{+Q,+E,+X}}{name}" for name in ANSWER_ALIASES), "%r", "%{+Q}r"]


@given(st.data())
def test_no_request_is_too_much(segment: Segment, data: st.DataObject) -> None:
    """Any bytes as a request: no answer has a byte that ends a header, and none is beyond bounds."""
    chance = random.Random(data.draw(st.integers(0, 1 << 32)))
    pieces = (
        b"/",
        b"?",
        b"&a=",
        b"://",
        b"\r\n",
        b"x-a:",
        b"host:",
        b",",
        b'"',
        b"\\",
        b"\0",
        b"a",
    )
    length = st.sampled_from((0, 1, 3, 40, 16_000))
    target, version, lines = (
        b"".join(chance.choices((*pieces, chance.randbytes(3)), k=data.draw(length)))
        for _ in range(3)
    )
    seen = Seen(b"GET", target, version, lines, ("127.0.0.1", 1), ("::1", 2))
    texts = _answers()
    compiled = Formats(segment, [read(text, Scope.ANSWER) for text in texts])
    for number, text in enumerate(texts):
        answer = compiled.answer(number, seen)
        if answer is not None:
            assert len(answer) <= SIZE_MAX, text
            assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", answer), text
    assert compiled.answer(0, Seen()) is not None  # no request at all


def test_an_answer_that_is_too_long_is_none(segment: Segment) -> None:
    compiled = Formats(segment, [read("%[hdr(a)]%[hdr(a)]", Scope.ANSWER)])
    for length, known in ((8_191, True), (8_192, False), (16_384, False)):
        seen = Seen(b"GET", headers=b"a: " + b"b" * length)
        assert (compiled.answer(0, seen) is not None) is known
    with pytest.raises(IndexError):
        compiled.answer(1, Seen())


@pytest.mark.parametrize(
    ("answer", "chain", "what"),
    [
        (b"a=1&b=2", "param(b)", b"2"),
        (b"a=1&b=2", "param(a)", b"1"),
        (b"a=1&b", "param(b)", b""),
        (b"a=1&b=2", "param(c)", b""),
        (b"ab=1;b=2=3;b=4", "param(b,;)", b"2=3"),
        (b"", "param(b)", b""),
        (b"YQ==", "ub64dec", b"a"),
        (b"host:12x", "port_only", b"12"),
        (b"a" * 6_000, "url_enc,url_enc,length", b"6000"),
        (b"%" * 6_000, "url_enc,length", b""),  # no room
        (b"a" * 112, "sha2(512),hex,bytes(0,16)", b"C01D080EFD492776"),
        (b"a" * 200, "hmac(sha256,YWFh),length", b"32"),
        (b"a" * 40 + b"!", 'regsub("(a+)+$",x)', b""),  # too dear
        (b"aXb", 'regsub(X,"\\\\0\\\\9\\\\x4A\\\\\\\\")', b"aXJ\\b"),
    ],
)
def test_converters_at_their_limits(
    segment: Segment, answer: bytes, chain: str, what: bytes
) -> None:
    known = facts()
    known.hear(answer)
    assert said(segment, f"%[res.payload(0,0),bytes(0),{chain}]", known) == what
