"""What a check of an agent, or an order about it, makes of its record. Pure; takes `now`.

A failed check changes nothing of the server (manual section 5.2): only what an agent says counts.
Each word has its time, because the operator sets the same, and the last of both counts
(`admin_compose` in shm/eligibility.pxd).
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from proxy.health.agent_words import AgentReport
from proxy.health.judgement import Outcome
from shm.check_status import CheckResult, CheckStatus
from shm.states import AgentCommand, AgentOrders, AgentState, AgentWord


class Instant(NamedTuple):
    """One moment by CLOCK_MONOTONIC."""

    ns: int

    @classmethod
    def now(cls) -> Instant:
        """This one."""
        return cls(time.monotonic_ns())

    @property
    def ms(self) -> int:
        """The same in milliseconds."""
        return self.ns // 1_000_000


def without_words(former: AgentState, outcome: Outcome) -> AgentReport:
    """What a check says that brought no whole line.

    A part of one repeats what the check before said; the first check has none, and its failure is
    that of the connection, as in HAProxy.
    """
    first = CheckStatus.of(former.status).result is CheckResult.UNKNOWN
    if outcome.status is CheckStatus.UNK and first:
        if outcome.code:
            return AgentReport(CheckStatus.SOCKERR, os.strerror(outcome.code))
        return AgentReport(CheckStatus.L7TOUT)
    return AgentReport(outcome.status, outcome.description)


def ended(former: AgentState, outcome: Outcome, report: AgentReport, now: Instant) -> AgentState:
    """The record after a check; words are taken in by `said`.

    Without a status of its own a check repeats the last one: a line that was not whole.
    """
    status = report.status or CheckStatus.of(former.status)
    down = former.down if report.down is None else report.down
    if report.status is CheckStatus.UNK and status in (CheckStatus.L7OK, CheckStatus.L7STS):
        down = status is CheckStatus.L7STS
    return former._replace(
        status=int(status),
        code=0 if outcome.status is CheckStatus.UNK else min(outcome.code, 0xFF),
        duration_us=outcome.duration_us,
        checked_ms=now.ms,
        running=False,
        down=down,
    )


def said(former: AgentState, report: AgentReport, standing: AgentWord, now: Instant) -> AgentState:
    """The record with the words of a line; `standing`: what orders and words made of the server."""
    state = former
    if report.weight is not None:
        state = state._replace(weight_ns=now.ns, weight=report.weight)
    if report.maxconn is not None:
        state = state._replace(maxconn_ns=now.ns, maxconn=report.maxconn)
    if report.word is None:
        return state
    state = state._replace(state_ns=now.ns, word=int(report.word))
    if report.word is standing:
        return state
    comes, goes = standing is AgentWord.MAINT, report.word is AgentWord.MAINT
    return state._replace(
        changed_ms=now.ms,
        returned=comes,
        comings=(state.comings + comes) % 256,
        goings=(state.goings + goes) % 256,
    )


def changes(former: AgentState, state: AgentState, orders: AgentOrders) -> bool:
    """Whether words of a check are others than before, or replace an order of the operator."""
    return (
        (state.weight_ns != former.weight_ns and _is_new(former, state, orders, "weight"))
        or (state.maxconn_ns != former.maxconn_ns and _is_new(former, state, orders, "maxconn"))
        or (
            state.state_ns != former.state_ns
            and (state.word != former.word or orders.state_ns >= former.state_ns)
        )
    )


def _is_new(former: AgentState, state: AgentState, orders: AgentOrders, kind: str) -> bool:
    ordered_ns, said_ns = getattr(orders, f"{kind}_ns"), getattr(former, f"{kind}_ns")
    return bool(ordered_ns >= said_ns or getattr(state, kind) != getattr(former, kind))


def ordered(former: AgentState, orders: AgentOrders) -> AgentState:
    """The record after `set server ... agent up|down`, which counts as the agent's word."""
    if orders.orders == former.orders_taken:
        return former
    down = former.down if orders.order == AgentCommand.NONE else orders.order == AgentCommand.DOWN
    return former._replace(orders_taken=orders.orders, down=down)


def is_news(former: AgentState, state: AgentState) -> bool:
    """Whether `option log-health-checks` tells how a check ended."""
    neutral = CheckStatus.of(state.status).result in (CheckResult.NEUTRAL, CheckResult.UNKNOWN)
    return not neutral and (former.status != state.status or former.down != state.down)
