"""HTTP checks without sockets: any answer, in any pieces, ends in one result."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.checks import (
    ConnectStep,
    HttpCheck,
    HttpExpectStep,
    HttpRequest,
    HttpStep,
    Match,
)
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.http import HttpRun, HttpScript
from proxy.health.dialect.http_response import HttpReply
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Ended,
    Expect,
    Moment,
    Received,
    Result,
    Send,
    Subject,
)
from shm.check_status import CheckStatus
from tests.health.test_http_answers_against_haproxy import BODIES, HEADS, LINE

FOO = HttpExpectStep(1, Match.STRING, b"foo")
NOT_FOUND = b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n"
ANSWERS = [*(head + b"\r\n\r\n" for head in HEADS.values()), *BODIES.values()]


def run(*rules: HttpStep, disable_on_404: bool = False, down: bool = False) -> HttpRun:
    check = HttpCheck(HttpRequest()).joined(rules, disable_on_404=disable_on_404)
    return HttpRun(HttpScript(check, header=ProxyHeader.V1), Subject(lambda _: down, lambda _: ""))


def begun(check: HttpRun) -> HttpRun:
    assert isinstance(check.answer(Moment.CONNECTED), Send)
    assert check.answer(Moment.SENT) == Expect()
    return check


def in_pieces(check: HttpRun, data: bytes, size: int) -> Answer:
    """How it ends when the server sends so many bytes at once, and closes."""
    begun(check)
    for at in range(0, len(data), size):
        answer = check.answer(Received(data[at : at + size]))
        if not isinstance(answer, Expect):
            return answer
    return check.answer(Ended(b"", 0))


@pytest.mark.parametrize("rules", [(), (FOO,)])
@pytest.mark.parametrize("data", ANSWERS)
def test_pieces_make_no_difference_to_what_passes(data: bytes, rules: tuple[HttpStep, ...]) -> None:
    """Where bytes behind the decision are broken it is already made."""
    whole = in_pieces(run(*rules), data, RECEIVED_MAX)
    assert isinstance(whole, Result)
    for size in (1, 2, 3, 7):
        assert in_pieces(run(*rules), data, size) == whole or _early(data)


def _early(data: bytes) -> bool:
    response = HttpReply(to_head=False)
    response.feed(data)
    return response.broken


def test_404_stops_a_server_that_is_up_and_no_other() -> None:
    up = begun(run(disable_on_404=True)).answer(Received(NOT_FOUND))
    assert up == Result(CheckStatus.L7OKC, 404)
    down = begun(run(disable_on_404=True, down=True)).answer(Received(NOT_FOUND))
    assert down == Result(CheckStatus.L7STS, 404, "Gone")


def test_each_connection_has_an_answer_of_its_own() -> None:
    good = HttpExpectStep(3, Match.STATUS, b"200", ranges=((200, 200),))
    check = run(ConnectStep(1), good, ConnectStep(4), FOO)
    assert isinstance(check.answer(Moment.CONNECTED), Send)
    check.answer(Moment.SENT)
    assert isinstance(check.answer(Received(LINE + b"Content-Length: 9\r\n\r\nfoo")), Connect)


def test_a_request_that_cannot_be_sent_is_a_socket_error() -> None:
    check = run()
    check.answer(Moment.CONNECTED)
    assert check.answer(Ended(b"", 32)) == Result(CheckStatus.SOCKERR, 0, "Broken pipe")


def test_what_is_kept_of_a_body_is_bounded() -> None:
    response = HttpReply(to_head=False)
    response.feed(LINE + b"\r\n")
    for _ in range(100):
        response.feed(b"x" * RECEIVED_MAX)
    assert len(response.body) < RECEIVED_MAX
    assert response.complete


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK" + b"k" * RECEIVED_MAX,
        LINE + b"a: " + b"x" * RECEIVED_MAX,
        LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * RECEIVED_MAX,
        LINE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n0\r\na:" + b"x" * RECEIVED_MAX,
    ],
)
def test_lines_without_an_end_are_given_up(endless: bytes) -> None:
    response = HttpReply(to_head=False)
    response.feed(endless)
    assert response.broken


def _effort(line: bytes) -> float:
    """Of looking at this, by the clock: the least of several."""

    def look() -> None:
        HttpReply(to_head=False).feed(line)

    return min(timeit.repeat(look, number=1, repeat=5))


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200",
        LINE + b"a:",
        LINE + b"a: b\r\n",
        LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\na:",
    ],
)
@pytest.mark.parametrize("end", [b"", b"\rx"])
def test_the_effort_is_in_proportion_to_the_bytes(begin: bytes, end: bytes) -> None:
    """Spaces that two parts of a pattern could take: it took seconds, and all checks waited."""
    few, many = (begin + b" " * count + end for count in (1_000, 16_000))
    assert _effort(many) < 100 * _effort(few)  # 16 times; in proportion to the square 256 times


@given(st.lists(st.binary(max_size=60)), st.booleans())
def test_any_bytes_end_in_one_result(pieces: list[bytes], body: bool) -> None:
    check = begun(run(FOO) if body else run())
    for piece in pieces:
        if not isinstance(check.answer(Received(piece)), Expect):
            return
    assert isinstance(check.answer(Ended(b"", 0)), Result)


@given(
    st.sampled_from(ANSWERS),
    st.integers(0, 200),
    st.integers(0, 4),
    st.binary(max_size=4),
    st.integers(1, 40),
)
def test_damaged_answers_end_in_one_result(
    data: bytes, at: int, length: int, other: bytes, size: int
) -> None:
    damaged = data[:at] + other + data[at + length :]
    assert isinstance(in_pieces(run(FOO), damaged, size), Result)
