"""`show stat`: columns, rows and cells beside Debian's HAProxy on the same configuration."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import pytest

from proxy.config.model.settings import Global, Settings
from proxy.control.commands.show_stat import parse
from proxy.control.rows.directory import Directory
from proxy.control.rows.stat_columns import COLUMNS
from proxy.server_table import ServerTable
from resolverd.config import ResolverdSettings
from tests.support.control.pair import Pair, pair, settled

# 2.6 has no such columns; later versions have, with these values for a TCP proxy
NEWER = ("srid", "priv_idle_cur", "reqbin", "reqbout", "resbin", "resbout")
# what depends on the moment, or on checks that the test does not imitate in every detail
MOMENTARY = ("lastchg", "downtime", "chkfail", "chkdown", "check_duration", "need_conn_est")
# of the section that serves statistics itself, HAProxy's counts differ with what asked it
SERVICE = "prom"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


def rows(answer: str) -> dict[tuple[str, str], dict[str, str]]:
    lines = answer.strip().splitlines()
    names = lines[0].removeprefix("# ").rstrip(",").split(",")
    read = [dict(zip(names, row, strict=False)) for row in csv.reader(lines[1:])]
    return {(row["pxname"], row["svname"]): row for row in read}


@pytest.mark.slow
def test_the_columns_begin_as_haproxys_and_end_in_the_same_mark(both: Pair) -> None:
    theirs, ours = (answer.splitlines()[0] for answer in both.both("show stat"))
    static = theirs.partition(",-,")[0]
    assert ours.startswith(static + ",")
    assert ours.endswith(",-,")
    assert len(COLUMNS) == 119


@pytest.mark.slow
def test_the_same_rows_in_the_same_order_with_the_same_cells(both: Pair) -> None:
    def wrong() -> list[str]:
        theirs, ours = (rows(answer) for answer in both.both("show stat"))
        assert list(theirs) == list(ours)
        known = [column.name for column in COLUMNS if column.name in next(iter(theirs.values()))]
        return [
            f"{key} {name}: HAProxy {theirs[key][name]!r}, Millrace {ours[key][name]!r}"
            for key in theirs
            if key[0] != SERVICE
            for name in known
            if name not in MOMENTARY and theirs[key][name] != ours[key][name]
        ]

    assert settled(wrong) == []


@pytest.mark.slow
def test_a_cell_is_empty_where_haproxys_is(both: Pair) -> None:
    def wrong() -> list[str]:
        theirs, ours = (rows(answer) for answer in both.both("show stat"))
        return [
            f"{key} {name}: HAProxy {theirs[key].get(name, '')!r}, Millrace {ours[key][name]!r}"
            for key in theirs
            for name in (column.name for column in COLUMNS)
            if name not in NEWER
            and key != (SERVICE, "FRONTEND")
            and bool(theirs[key].get(name, "")) != bool(ours[key][name])
        ]

    assert settled(wrong) == []


STATES = [
    ("set server l1/a state drain", "l1", "a"),
    ("set server b1/up1 state drain", "b1", "up1"),
    ("set server b1/up1 state maint", "b1", "up1"),
    ("disable server b1/web1", "b1", "web1"),
    ("set server l1/a weight 0", "l1", "BACKEND"),
    ("set server l1/a state maint", "l1", "BACKEND"),
    ("set server l1/a state ready", "l1", "a"),
    ("set server l1/a weight 100%", "l1", "BACKEND"),
]


@pytest.mark.slow
def test_status_and_weights_follow_orders_like_haproxys(both: Pair) -> None:
    shown = ("status", "weight", "uweight", "act", "bck", "check_status", "check_health")
    for order, proxy, name in STATES:
        both.both(order)
        names = (*shown, "chkdown") if name == "BACKEND" else shown

        def wrong(
            row: tuple[str, str] = (proxy, name), names: tuple[str, ...] = names
        ) -> list[str]:
            theirs, ours = (rows(answer)[row] for answer in both.both("show stat"))
            return [f"{n}: {theirs[n]} {ours[n]}" for n in names if theirs[n] != ours[n]]

        assert settled(wrong) == [], order


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "l1 4 -1",
        "l1 2 -1",
        "2 4 1",
        "-1 1 -1",
        "-1 3 -1",
        "b1 -1 4",
        "l1 7 0",
        "-1 4 2",
        "l1 2",
        "77 1 1",
    ],
)
def test_filters_choose_the_rows_that_haproxy_chooses(both: Pair, query: str) -> None:
    theirs, ours = (rows(answer) for answer in both.both(f"show stat {query}"))
    assert list(theirs) == list(ours)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["no-maint", "up", "up no-maint"])
def test_words_choose_the_rows_that_haproxy_chooses(both: Pair, query: str) -> None:
    theirs, ours = (rows(answer) for answer in both.both(f"show stat {query}"))
    assert list(theirs) == list(ours)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["nowhere 1 1", "domain nonsense"])
def test_a_wrong_filter_is_refused_in_haproxys_words(both: Pair, query: str) -> None:
    theirs, ours = both.both(f"show stat {query}")
    assert theirs == ours


@pytest.mark.slow
def test_the_typed_form_tags_every_value_as_haproxy_does(both: Pair) -> None:
    def wrong() -> list[str]:
        theirs, ours = (
            {line.rpartition(":")[0] for line in answer.splitlines() if line}
            for answer in both.both("show stat l1 -1 -1 typed")
        )
        positions = {str(column.position) for column in COLUMNS if column.position < 103}
        static = {line for line in theirs if line.split(".")[3] in positions}
        newer = {line for line in ours if int(line.split(".")[3]) >= 103}
        # addresses hold colons themselves
        return [line for line in static ^ (ours - newer) if ".addr." not in line]

    assert settled(wrong) == []


@pytest.mark.slow
def test_rows_of_the_typed_form_are_separated_alike(both: Pair) -> None:
    theirs, ours = both.both("show stat -1 1 -1 typed")
    assert theirs.count("\n\n") == ours.count("\n\n")


@pytest.mark.slow
def test_the_json_form_has_haproxys_objects(both: Pair) -> None:
    def wrong() -> list[object]:
        theirs, ours = (json.loads(answer) for answer in both.both("show stat l1 4 1 json"))
        by_name = {field["field"]["name"]: field for field in ours[0]}
        return [
            field
            for field in theirs[0]
            if field["field"]["pos"] < 103
            and field["field"]["name"] not in MOMENTARY
            and by_name[field["field"]["name"]] != field
        ]

    assert settled(wrong) == []


@pytest.mark.slow
def test_a_user_does_not_see_addresses_or_the_algorithm(both: Pair) -> None:
    shown = rows(both.world.ask("show stat", "user"))
    assert shown["l1", "a"]["addr"] == ""
    assert shown["l1", "BACKEND"]["algo"] == ""
    revealed = rows(both.world.ask("show stat", "operator"))
    assert revealed["l1", "a"]["addr"] == "127.78.1.2:7101"
    assert revealed["l1", "BACKEND"]["algo"] == "roundrobin"


def test_three_words_are_a_filter_only_when_two_are_numbers() -> None:
    empty = Settings(Global(), (), ResolverdSettings())
    nothing = Directory(empty, ServerTable(empty))
    assert parse(["json", "up"], nothing).only_up
    assert parse(["-1", "4", "2"], nothing).types == 4
    assert parse(["resolvers"], nothing).proxies == ()
