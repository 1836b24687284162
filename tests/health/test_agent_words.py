"""An agent's line and its words; what they mean is compared in test_agents_against_haproxy.py."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.health import agent_state
from proxy.health.agent_state import Instant
from proxy.health.agent_words import AgentReport, understood
from proxy.health.dialect.agent import EMPTY, INCOMPLETE, AgentDialect
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Ended,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)
from proxy.health.judgement import Outcome
from shm.check_status import CheckStatus
from shm.states import AgentCommand, AgentOrders, AgentState, AgentWord


def test_a_line_is_read_to_its_end() -> None:
    dialect = AgentDialect(b"who\n")
    assert dialect.answer(Moment.CONNECTED) == Send(b"who\n")
    assert dialect.answer(Moment.SENT) == Expect()
    assert dialect.answer(Received(b"50% ")) == Expect(1, RECEIVED_MAX - 4)
    assert dialect.answer(Received(b"up\r\nmore")) == Result(CheckStatus.CHECKED)
    assert dialect.line == b"50% up"


def test_without_a_text_nothing_is_sent() -> None:
    assert AgentDialect(b"").answer(Moment.CONNECTED) == Expect()


def test_lines_that_do_not_come() -> None:
    assert AgentDialect(b"").answer(Ended(b"", 0)) == EMPTY
    assert AgentDialect(b"").answer(Ended(b"up", 0)) == INCOMPLETE
    broken = AgentDialect(b"").answer(Ended(b"up", errno.ECONNRESET))
    assert broken == INCOMPLETE._replace(code=errno.ECONNRESET)
    broken = AgentDialect(b"").answer(Ended(b"", errno.ECONNRESET))
    assert broken == Result(CheckStatus.SOCKERR, 0, "Connection reset by peer")
    assert AgentDialect(b"").answer(Moment.EXPIRED) == Result(CheckStatus.L7TOUT)
    assert AgentDialect(b"").answer(Ended(b"up\n", errno.ECONNRESET)) == Result(CheckStatus.CHECKED)


def test_what_is_kept_of_a_line_is_bounded() -> None:
    dialect = AgentDialect(b"")
    half = b"a" * (RECEIVED_MAX // 2)
    assert dialect.answer(Received(half)) == Expect(1, RECEIVED_MAX // 2)
    assert dialect.answer(Received(half)) == INCOMPLETE


@given(st.binary(max_size=60))
def test_any_line_means_something(line: bytes) -> None:
    report = understood(line, 40, fixed=False)
    assert report.status in (CheckStatus.CHECKED, CheckStatus.L7OK, CheckStatus.L7STS)
    assert report.weight is None or -1 <= report.weight <= 256


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"75%", AgentReport(CheckStatus.CHECKED, weight=30)),
        (b"100%", AgentReport(CheckStatus.CHECKED, weight=-1)),
        (
            b"up ready maxconn:0",
            AgentReport(CheckStatus.L7OK, "via agent : up", False, AgentWord.READY, None, 0),
        ),
        (b"down # a b", AgentReport(CheckStatus.L7STS, "via agent : down (a b)", down=True)),
        (b"stop", AgentReport(CheckStatus.CHECKED, "agent reports an error : stop")),
    ],
)
def test_words(line: bytes, expected: AgentReport) -> None:
    assert understood(line, 40, fixed=False) == expected


NOW = Instant(5_000_000_000)


def outcome(status: CheckStatus) -> Outcome:
    return Outcome(status, 0, 1_000)


@pytest.mark.parametrize("down", [False, True])
def test_a_failed_check_says_nothing_of_the_server(down: bool) -> None:
    former = AgentState(down=down)
    for status in (CheckStatus.L4CON, CheckStatus.L4TOUT, CheckStatus.L7TOUT, CheckStatus.L7RSP):
        state = agent_state.ended(former, outcome(status), AgentReport(status), NOW)
        assert (state.down, state.status, state.checked_ms) == (down, status, 5_000)


def test_a_line_that_was_not_whole_repeats_the_last_status() -> None:
    report = AgentReport(CheckStatus.UNK, "Ignoring incomplete line from agent")
    former = AgentState(status=CheckStatus.L7STS)  # the operator has said `agent up` since
    assert agent_state.ended(former, outcome(CheckStatus.UNK), report, NOW).down
    former = AgentState(status=CheckStatus.L4CON, down=True)
    assert agent_state.ended(former, outcome(CheckStatus.UNK), report, NOW).down


def test_a_part_of_a_first_line_is_a_failure_of_the_connection() -> None:
    former = AgentState(status=CheckStatus.INI)
    assert agent_state.without_words(former, outcome(CheckStatus.UNK)).status is CheckStatus.L7TOUT
    broken = Outcome(CheckStatus.UNK, 104, 1_000)
    report = agent_state.without_words(former, broken)
    assert report[:2] == (CheckStatus.SOCKERR, "Connection reset by peer")
    later = agent_state.without_words(AgentState(status=CheckStatus.L7OK), broken)
    assert later.status is CheckStatus.UNK
    assert agent_state.ended(AgentState(status=CheckStatus.L7OK), broken, later, NOW).code == 0


def test_a_state_counts_as_changed_only_where_it_is_another() -> None:
    report = AgentReport(CheckStatus.CHECKED, word=AgentWord.MAINT)
    state = agent_state.said(AgentState(), report, AgentWord.READY, NOW)
    assert (state.state_ns, state.changed_ms, state.goings, state.returned) == (NOW.ns, 5_000, 1, 0)
    same = agent_state.said(AgentState(), report, AgentWord.MAINT, NOW)
    assert (same.state_ns, same.changed_ms, same.goings) == (NOW.ns, 0, 0)
    report = AgentReport(CheckStatus.CHECKED, word=AgentWord.DRAIN)
    back = agent_state.said(state, report, AgentWord.MAINT, NOW)
    assert (back.comings, back.goings, back.returned) == (1, 1, True)


def test_words_are_news_if_they_differ_or_replace_an_order() -> None:
    former = AgentState(weight_ns=10, weight=20, state_ns=10, word=AgentWord.DRAIN)
    again = former._replace(weight_ns=30, state_ns=30)
    assert not agent_state.changes(former, again, AgentOrders())
    assert agent_state.changes(former, again, AgentOrders(weight_ns=20))
    assert agent_state.changes(former, again, AgentOrders(state_ns=20))
    assert agent_state.changes(former, again._replace(weight=21), AgentOrders())
    assert agent_state.changes(former, former._replace(maxconn_ns=30, maxconn=5), AgentOrders())


def test_an_order_about_the_agent_is_obeyed_once() -> None:
    orders = AgentOrders(orders=1, order=AgentCommand.DOWN)
    down = agent_state.ordered(AgentState(), orders)
    assert down.down
    up = down._replace(down=False)  # by the agent's own word
    assert agent_state.ordered(up, orders) is up
