"""Words about counters of stick tables: what HAProxy says of wrong ones, and what right ones are."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.lines.rules.table_words import OF_NOTHING, OF_SOURCE, OWN_TABLE
from proxy.config.model.rules import Rule, RuleAction
from proxy.config.text.messages import Severity
from shm.tables.shape import TableData, data_number
from tests.support.config.haproxy import haproxy_says, normal
from tests.support.config.loading import load_text, only_alert, said, settings_of

HEAD = """defaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend tip
  stick-table type ip size 1k store conn_cnt
backend tstr
  stick-table type string size 1k store gpc0
backend be
  server s 127.0.0.1:1
frontend here
  bind 127.0.0.1:19999
  default_backend be
"""
WRONG_ACTIONS = (
    "tcp-request connection track-sc0 src",
    "tcp-request connection track-sc0",
    "tcp-request connection track-sc0 src table nosuch",
    "tcp-request session track-sc1 always_true table tip",
    "tcp-request content track-sc3 src table tip",
    "tcp-request connection track-sc0 src table tip frob",
    "tcp-request content track-sc0 src table tip table tip",
    "tcp-request connection track-sc2 src if TRUE",
    "tcp-request connection track-sc0 src table tip if nosuch",
    "tcp-request content track-sc0 src_conn_cnt(nosuch) table tip",
    "tcp-request content track-sc0 src_conn_cnt table tip",
    "tcp-request content track-sc0 src,table_conn_cnt(nosuch) table tip",
    "tcp-request content sc-inc-gpc0(3)",
    "tcp-request content sc-inc-gpc1(7) if TRUE",
    "tcp-request content sc-inc-gpc0(0) frob",
    "tcp-request content sc-inc-gpc(0,3)",
    "tcp-request content sc-inc-gpc(0)",
    "tcp-request session sc-inc-gpc(x,0)",
    "tcp-request connection sc-inc-gpc(0,x)",
    "tcp-request content sc-inc-gpc",
    "tcp-request content sc-inc-gpc(0,0,0)",
    "tcp-request content sc-set-gpt0(3) 5",
    "tcp-request content sc-set-gpt0(x) 5",
    "tcp-request content sc-set-gpt0(0) 5 frob",
    "tcp-request content sc-set-gpt(1,3) 5",
    "tcp-request content sc-set-gpt(1) 5",
    "tcp-request content sc-set-gpt0(0) src_conn_cnt(nosuch)",
)
WRONG_EXPRESSIONS = (
    "sc0_conn_cnt(nosuch)",
    "sc0_conn_cnt()",
    "sc0_conn_cnt(tip,tip)",
    "sc_conn_cnt",
    "sc_conn_cnt()",
    "sc_conn_cnt(x)",
    "sc_conn_cnt(0,nosuch)",
    "sc_conn_cnt(0,)",
    "sc_conn_cnt(,tip)",
    "sc_conn_cnt(0,tip,1)",
    "src_conn_cnt",
    "src_conn_cnt()",
    "src_conn_cnt(nosuch)",
    "sc_get_gpc(0)",
    "src_get_gpc(0)",
    "src_get_gpc(0,)",
    "src_get_gpc",
    "src_get_gpc(tip)",
    "src_updt_conn_cnt",
    "src,in_table",
    "src,in_table()",
    "src,in_table(nosuch)",
    "src,in_table(tip,2)",
    "src,table_conn_cnt(nosuch)",
    "src,table_gpc(tip)",
    "src,table_gpc(0)",
    "src,table_gpc(0,)",
    "src,table_gpc",
)
RIGHT = (
    "tcp-request content track-sc0 src_port table tip",
    "tcp-request content track-sc0 src table tstr if TRUE",
    "tcp-request content sc-inc-gpc0",
    "tcp-request content sc-inc-gpc0()",
    "tcp-request content sc-inc-gpc(100,0)",
    "tcp-request content sc-set-gpt0 5",
    "tcp-request content sc-set-gpt0(0) src unless TRUE",
    "tcp-request content accept if { sc_conn_cnt(3) gt 1 }",
    "tcp-request content accept if { sc_conn_cnt(-1) gt 1 }",
    "tcp-request content accept if { sc_get_gpc(100,0) gt 1 }",
    "tcp-request content accept if { src_conn_cnt(tstr) gt 1 }",
    "tcp-request content accept if { sc0_conn_cnt -m str 3 }",
    "tcp-request content accept if { always_true,in_table(tip) }",
    "tcp-request content accept if { src_port,in_table(tip) } { sc0_tracked(tip) }",
)
LUCK = (
    "tcp-request content track-sc0 req.payload(0,4) table tstr",
    "tcp-request content track-sc0 req.ssl_sni table tstr",
    "tcp-request content track-sc0 src table tip",
    "tcp-request inspect-delay 5s\n  tcp-request content track-sc0 req.payload(0,4) table tstr",
)


@pytest.mark.parametrize("line", WRONG_ACTIONS)
def test_a_wrong_action_is_refused_in_haproxy_s_words(tmp_path: Path, line: str) -> None:
    text = f"{HEAD}  {line}\n"
    assert [normal(text) for _, text in said(load_text(text))] == haproxy_says(tmp_path, text)


@pytest.mark.parametrize("expression", WRONG_EXPRESSIONS)
def test_a_wrong_expression_is_refused_in_haproxy_s_words(tmp_path: Path, expression: str) -> None:
    compared = "" if "in_table" in expression else " gt 0"
    text = f"{HEAD}  tcp-request content accept if {{ {expression}{compared} }}\n"
    assert [normal(text) for _, text in said(load_text(text))] == haproxy_says(tmp_path, text)


def test_a_wrong_key_of_stick_is_refused_in_haproxy_s_words(tmp_path: Path) -> None:
    line = "stick on src_conn_cnt(nosuch) table tip"
    text = HEAD.replace("backend be\n", f"backend be\n  {line}\n")
    assert [normal(text) for _, text in said(load_text(text))] == haproxy_says(tmp_path, text)


@pytest.mark.parametrize("line", RIGHT)
def test_what_haproxy_takes_is_taken(tmp_path: Path, line: str) -> None:
    text = f"{HEAD}  {line}\n"
    assert said(load_text(text)) == []
    assert haproxy_says(tmp_path, text) == []


@pytest.mark.parametrize("lines", LUCK)
def test_a_key_that_nothing_waits_for_is_warned_of(tmp_path: Path, lines: str) -> None:
    text = f"{HEAD}  {lines}\n"
    warned = [normal(each) for _, each in said(load_text(text), Severity.WARNING)]
    assert warned == haproxy_says(tmp_path, text, "WARNING")


@pytest.mark.parametrize(
    "line",
    [
        "tcp-request content sc-inc-gpc0(-1)",
        "tcp-request content sc-inc-gpc0(0",
        "tcp-request content sc-set-gpt0(0)",
        "tcp-request content sc-set-gpt0(0) -5",
        "tcp-request content sc-set-gpt0(0) 4294967296",
        "tcp-request connection track-sc src table tip",
        "tcp-request connection track-sc0 src table",
        "tcp-request connection track-sc0 req.len table tip",
        "tcp-request content sc-add-gpc(0,0) 5",
    ],
)
def test_what_haproxy_only_puts_up_with_or_has_later_is_refused(line: str) -> None:
    only_alert(f"{HEAD}  {line}\n")


def test_a_section_that_answers_itself_asks_no_table() -> None:
    text = (
        (
            f"{HEAD}listen page\n  mode http\n  bind 127.0.0.1:18888\n  stats enable\n"
            "  http-request deny if {{ src,in_table(tip) }}\n"
        )
        .replace("{{", "{")
        .replace("}}", "}")
    )
    _, told = only_alert(text)
    assert "'in_table' is not supported here" in told


def rules_of(lines: str) -> tuple[Rule, ...]:
    settings = settings_of(f"{HEAD}  stick-table type ip size 1k store gpc0\n{lines}")
    rules = settings.proxies[-1].rules
    assert rules is not None
    return rules.content


def test_what_the_words_are() -> None:
    track, count, tag, accept = rules_of(
        "  tcp-request content track-sc1 src table tip\n"
        "  tcp-request content sc-inc-gpc(4,2)\n"
        "  tcp-request content sc-set-gpt0(1) 7\n"
        "  tcp-request content accept if { src_get_gpc0 gt 1 } { sc_conn_cnt(5) 1 } "
        "{ sc2_conn_cur(tstr) 1 } { src,table_conn_cnt(tip) 1 }\n"
    )
    assert (track.action, track.tracked, track.target) == (RuleAction.TRACK, 1, 0)
    assert track.key is not None
    assert track.key.fetch == "src"
    assert (count.action, count.tracked) == (RuleAction.COUNT, 2)
    assert count.data == data_number(TableData.GPC, 4)
    assert (tag.action, tag.tracked, tag.data) == (RuleAction.TAG, 1, data_number(TableData.GPT0))
    assert tag.key is not None
    assert tag.key.numbers == (7, 0)
    assert accept.condition is not None
    first, second, third, fourth = accept.condition.terms
    assert first.numbers == (OF_SOURCE, 2, data_number(TableData.GPC0))
    assert second.numbers == (OF_NOTHING, OWN_TABLE, data_number(TableData.CONN_CNT))
    assert third.numbers == (2, 1, data_number(TableData.CONN_CUR))
    assert fourth.converters[0].numbers == (0, data_number(TableData.CONN_CNT))
