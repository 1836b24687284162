"""The steps of a check without sockets: any reply, in any pieces, ends in one result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.checks import ConnectStep, ExpectStep, Match, SendStep, Step
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.script import Run, Script
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Dialect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)
from shm.check_status import CheckStatus

PONG = ExpectStep(2, Match.STRING, b"+PONG")
PING = SendStep(1, b"PING\r\n")


def run(*steps: Step, header: ProxyHeader = ProxyHeader.V1) -> Run:
    return Script(steps, header=header, numbered=True).run()


def test_a_step_that_sends_forgets_what_came_before() -> None:
    check = run(ExpectStep(1, Match.STRING, b"a"), SendStep(2, b"x"), PONG)
    assert check.answer(Moment.CONNECTED) == Expect(1)
    assert check.answer(Received(b"a+PONG")) == Send(b"x")
    assert check.answer(Moment.SENT) == Expect(5)


def test_expectations_in_a_row_share_what_came() -> None:
    check = run(ExpectStep(1, Match.STRING, b"a"), PONG)
    check.answer(Moment.CONNECTED)
    assert check.answer(Received(b"+PONGa")) == Result(CheckStatus.L7OK, 0, "(tcp-check)")


def test_a_server_that_has_sent_everything_may_still_be_sent_to() -> None:
    check = run(ExpectStep(1, Match.STRING, b"a", bytes_min=9), SendStep(2, b"QUIT"))
    check.answer(Moment.CONNECTED)
    assert check.answer(Ended(b"a", 0)) == Send(b"QUIT")
    assert check.answer(Moment.SENT) == Result(CheckStatus.L7OK, 0, "(tcp-check)")


@pytest.mark.parametrize(
    ("steps", "quick_ack"),
    [
        ((), False),
        ((PING, PONG), False),
        ((PONG,), True),
        ((ConnectStep(1), PONG), True),
        ((ConnectStep(1), PING), False),
        ((ConnectStep(1), ConnectStep(2)), False),
    ],
)
def test_only_a_server_that_speaks_first_is_acknowledged_at_once(
    steps: tuple[Step, ...], quick_ack: bool
) -> None:
    assert run(*steps).first.quick_ack is quick_ack


def test_connections_are_as_their_steps_say() -> None:
    check = run(
        ConnectStep(1, port=8, address="127.0.0.3", linger=True),
        ConnectStep(2, default=True),
        ConnectStep(3, send_proxy=True, address="127.0.0.3", address_port=9),
        header=ProxyHeader.V2,
    )
    assert check.first == Connect("127.0.0.3", 8, ProxyHeader.NONE, False, False)
    assert check.answer(Moment.CONNECTED) == Connect(None, None, None, False)
    assert check.answer(Moment.CONNECTED) == Connect("127.0.0.3", 9, ProxyHeader.V2, False)


texts = st.binary(min_size=1, max_size=4)
steps = st.one_of(
    st.builds(ConnectStep, number=st.just(1)),
    st.builds(SendStep, number=st.just(2), data=texts),
    st.builds(
        ExpectStep,
        number=st.just(3),
        match=st.sampled_from([Match.STRING, Match.BINARY]),
        pattern=texts,
        negated=st.booleans(),
        bytes_min=st.none() | st.integers(0, RECEIVED_MAX + 9),
    ),
    st.builds(
        ExpectStep,
        number=st.just(4),
        match=st.sampled_from([Match.REGEX, Match.BINARY_REGEX]),
        pattern=st.sampled_from([b"^a+", b"(a|b)*c$", b".", b"[[:digit:]]"]),
        negated=st.booleans(),
    ),
)
ends = st.sampled_from([Ended(b"", 0), Ended(b"ab", 0), Ended(b"a", 104), Moment.EXPIRED])


def obey(check: Dialect, answer: Answer, pieces: list[bytes], end: Event) -> Result:
    """Do as the seam's user does."""
    over = False
    for _ in range(200):
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, Connect):
            answer, over = check.answer(Moment.CONNECTED), False
        elif isinstance(answer, Send):
            answer = check.answer(Moment.SENT)
        elif pieces and not over:
            data = pieces.pop()
            while len(data) < answer.bytes_min and pieces:
                data += pieces.pop()
            over = len(data) < answer.bytes_min
            data, rest = data[: answer.bytes_max], data[answer.bytes_max :]
            pieces += [rest] if rest else []
            answer = check.answer(Ended(data, 0) if over else Received(data))
        else:
            answer, over = check.answer(Ended(b"", 0) if over else end), True
    raise AssertionError("no end")


@given(
    st.lists(steps, max_size=8).map(tuple),
    st.lists(st.binary(min_size=1, max_size=6) | st.just(b"a" * 9_000), max_size=8),
    ends,
)
def test_any_reply_ends_in_one_result(
    chosen: tuple[Step, ...], pieces: list[bytes], end: Event
) -> None:
    check = run(*chosen)
    result = obey(check, check.answer(Moment.CONNECTED), pieces, end)
    assert result.status in CheckStatus
    assert len(check._data) <= RECEIVED_MAX
