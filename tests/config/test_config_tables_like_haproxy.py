"""`stick-table` and `stick` lines: what HAProxy says of wrong ones, and the tables of right ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config.model.rules import RuleAction
from proxy.config.text.messages import Severity
from shm.tables.shape import KeyType, Stored, TableData, TableShape
from tests.support.config.haproxy import haproxy_says, normal
from tests.support.config.loading import load_text, only_alert, said, settings_of

HEAD = """defaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend tip
  stick-table type ip size 1k
backend tstr
  stick-table type string size 1k
backend here
"""
WRONG_TABLES = (
    "type ip size 0",
    "type ip",
    "size 1k",
    "type foo size 1k",
    "type string len size 1k",
    "type string len 0 size 1k",
    "type ip size 1k expire",
    "type ip size 1k expire x",
    "type ip size 1k expire 30d",
    "type ip size 1k store foo",
    "type ip size 1k store gpc0,,gpc1",
    "type ip size 1k store conn_rate",
    "type ip size 1k store conn_rate(x)",
    "type ip size 1k store conn_cnt(3)",
    "type ip size 1k frob",
    "type ip size 1k peers",
    "type ip size",
    "type ip size abc",
    "type ip size 99q",
    "type ip size 5kk",
    "type ip len 5 size 1k",
    "",
    "type",
    "type ip size 1k store gpc0,gpc(2)",
    "type ip size 1k store gpt0,gpt(2)",
    "type ip size 1k store gpc(101)",
    "type ip size 1k store gpc(x)",
    "type ip size 1k store gpc_rate(2)",
    "type ip size 1k store bytes_in_rate(100d)",
    "type ip size 1k srvkey foo",
    "type integer size 1k write-to x",
)
WRONG_STICKS = (
    "stick",
    "stick on",
    "stick frob src",
    "stick on src table tip frob",
    "stick on src",
    "stick on src table nosuch",
    "stick on always_true table tip",
    "stick on req.payload(0,4) table tip",
)


@pytest.mark.parametrize("words", WRONG_TABLES)
def test_a_wrong_table_is_refused_in_haproxy_s_words(tmp_path: Path, words: str) -> None:
    text = f"{HEAD}  stick-table {words}\n"
    assert [normal(text) for _, text in said(load_text(text))] == haproxy_says(tmp_path, text)


@pytest.mark.parametrize("line", WRONG_STICKS)
def test_a_wrong_stick_line_is_refused_in_haproxy_s_words(tmp_path: Path, line: str) -> None:
    text = f"{HEAD}  {line}\n"
    assert [normal(text) for _, text in said(load_text(text))] == haproxy_says(tmp_path, text)


def test_a_condition_that_names_no_list_is_refused() -> None:
    _, text = only_alert(f"{HEAD}  stick on src table tip if nosuch\n")
    assert text.startswith("'stick': error detected while parsing sticking condition : ")


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        ("type ip size 1k", TableShape("here", KeyType.IP, 4, 1_024)),
        (
            "type string len 10 size 2m expire 1h nopurge",
            TableShape("here", KeyType.STRING, 10, 2 << 20, 3_600_000, nopurge=True),
        ),
        ("type binary size 7", TableShape("here", KeyType.BINARY, 32, 7)),
        (
            "size 7 type integer store conn_rate(10s),gpc0 store conn_cur",
            TableShape(
                "here",
                KeyType.INTEGER,
                4,
                7,
                stored=(
                    Stored(TableData.GPC0),
                    Stored(TableData.CONN_RATE, 1, 10_000),
                    Stored(TableData.CONN_CUR),
                ),
            ),
        ),
        (
            "type ipv6 size 7 store gpc(3),gpt(2),gpc_rate(4,1m)",
            TableShape(
                "here",
                KeyType.IPV6,
                16,
                7,
                stored=(
                    Stored(TableData.GPT, 2),
                    Stored(TableData.GPC, 3),
                    Stored(TableData.GPC_RATE, 4, 60_000),
                ),
            ),
        ),
    ],
)
def test_what_a_table_is(words: str, shape: TableShape) -> None:
    assert settings_of(f"{HEAD}  stick-table {words}\n").tables[-1] == shape


def test_entries_may_name_addresses() -> None:
    [*_, shape] = settings_of(f"{HEAD}  stick-table type ip size 1k srvkey addr\n").tables
    assert shape.by_address


def test_a_backend_in_mode_http_may_hold_a_table() -> None:
    text = f"{HEAD}  stick on src table http\nbackend http\n  mode http\n"
    shapes = settings_of(f"{text}  stick-table type ip size 9\n").tables
    assert [shape.entries for shape in shapes if shape.name == "http"] == [9]
    assert (
        "mode http of backend 'http' is not supported"
        in only_alert(f"{text}  stick-table type ip size 9\n  server s 127.0.0.1:1\n")[1]
    )


def test_a_table_of_stick_rules_stores_servers() -> None:
    text = f"{HEAD}  stick-table type ip size 1k store gpc0\n  stick match src table tstr\n"
    settings = settings_of(text + "  stick store-request src unless { dst 127.0.0.1 }\n")
    servers = [shape.find(TableData.SERVER_ID) is not None for shape in settings.tables]
    assert servers == [False, True, True]
    rules = settings.proxies[-1].rules
    assert rules is not None
    assert [(rule.action, rule.target) for rule in rules.sticks] == [
        (RuleAction.STICK_MATCH, 1),
        (RuleAction.STICK_STORE, 2),
    ]
    assert [rule.condition is None for rule in rules.sticks] == [True, False]


def test_two_sections_of_one_name_have_one_table() -> None:
    text = f"{HEAD}  stick-table type ip size 1\nfrontend here\n  bind 127.0.0.1:1\n"
    _, alert = only_alert(f"{text}  default_backend here\n  stick-table type ip size 1\n")
    assert re.fullmatch(
        r"stick-table name 'here' conflicts with table declared in backend 'here' at .*t\.cfg:11\.",
        alert,
    )


def test_what_is_said_twice_or_where_it_has_no_effect_is_warned_of() -> None:
    text = f"{HEAD}  stick-table type ip size 1k store conn_cnt,conn_cnt\n"
    text += "frontend f\n  bind 127.0.0.1:1\n  default_backend here\n  stick on src table tip\n"
    warnings = [text for _, text in said(load_text(text), Severity.WARNING)]
    assert "stick-table: store option 'conn_cnt' already enabled, ignored." in warnings
    assert any("'stick' ignored because frontend 'f' has no backend" in text for text in warnings)
