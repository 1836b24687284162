"""What fetches and converters say of entries: each value is written into a tag, at both programs.

Each expression has a section of its own, whose session rule gives its value to a tag of an entry
that is found by the section's port; where there is no sample the tag stays what it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from proxy.config.lines.rules.table_words import ENTRY_FETCHES, TABLE_CONVERTERS
from tests.support.relay.rule_cases import serving
from tests.support.tables.place import TablePlace, table_place

NOTHING = 99  # what a tag is before
STORED = (
    "conn_cnt,conn_cur,conn_rate(1h),sess_cnt,sess_rate(1h),bytes_in_cnt,bytes_in_rate(1h),"
    "bytes_out_cnt,bytes_out_rate(1h),gpc0,gpc0_rate(1h),gpc1,gpc1_rate(1h),gpt0,http_req_cnt,"
    "server_id"
)
MADE = tuple(f"b_made{number}" for number in range(1, 9))
TABLES = {
    **dict.fromkeys(
        ("b_none", "b_other", *MADE), f"stick-table type ip size 1k expire 1h store {STORED}"
    ),
    "b_few": "stick-table type ip size 1k expire 1h store conn_cur",
    **dict.fromkeys(
        ("b_bare1", "b_bare2", "b_bare3"), "stick-table type ip size 1k expire 1h store conn_cur"
    ),
    "b_array": "stick-table type ip size 1k expire 1h store gpc(3),gpt(2),gpc_rate(3,1h)",
    "b_text": f"stick-table type string size 1k expire 1h store {STORED}",
    "b_bytes": f"stick-table type binary len 4 size 1k expire 1h store {STORED}",
    "b_six": f"stick-table type ipv6 size 1k expire 1h store {STORED}",
    "b_number": f"stick-table type integer size 1k expire 1h store {STORED}",
    "b_values": "stick-table type integer size 1k store gpt0",
}
FILLED = (
    "set table b_other key 127.0.0.2 data.conn_cnt 7 data.gpc0 3 data.bytes_in_cnt 5000 "
    "data.bytes_in_rate 77 data.server_id 4 data.http_req_cnt 2 data.gpt0 11 data.gpc1 4294967295",
    "set table b_text key 127.0.0.2 data.conn_cnt 7",
    "set table b_six key ::ffff:127.0.0.2 data.conn_cnt 7",
    f"set table b_number key {(127 << 24) + 2} data.conn_cnt 7",
    "set table b_few key 127.0.0.2",
    "set table b_array key 127.0.0.2",
)
EXPRESSIONS = (
    *("sc0_conn_cnt", "sc0_conn_cur", "sc0_conn_rate", "sc0_sess_cnt", "sc0_sess_rate"),
    *("sc0_tracked", "sc1_tracked", "sc0_trackers", "sc1_trackers", "sc1_conn_cnt"),
    *("sc_conn_cnt(0)", "sc_conn_cnt(1)", "sc_conn_cnt(3)", "sc_tracked(0)", "sc_tracked(7)"),
    *("sc0_conn_cnt()", "sc_conn_cnt(0,)", "sc_conn_cnt(0,b_other)", "sc0_conn_cnt(b_other)"),
    *("sc0_conn_cnt(b_none)", "sc0_conn_cnt(b_few)", "sc1_conn_cnt(b_other)"),
    *(
        "sc0_conn_cnt(b_text)",
        "sc0_conn_cnt(b_six)",
        "sc0_get_gpt0(b_few)",
        "sc0_get_gpt0(b_other)",
    ),
    *("sc0_get_gpc0(b_array)", "sc0_get_gpc1(b_array)", "sc0_get_gpt0(b_array)"),
    *("sc_get_gpc(0,0,b_array)", "sc_get_gpc(2,0,b_array)", "sc_get_gpc(3,0,b_array)"),
    *("sc_get_gpc(99,0,b_array)", "sc_get_gpc(0,0)", "sc_get_gpt(1,0,b_array)"),
    *("sc_gpc_rate(1,0,b_array)", "sc0_gpc0_rate(b_array)", "sc0_tracked(b_none)"),
    *("sc0_trackers(b_other)", "sc0_trackers(b_none)", "sc0_kbytes_in(b_other)"),
    *("sc0_bytes_in_rate(b_other)", "sc0_http_req_cnt(b_other)", "sc0_http_fail_cnt(b_other)"),
    *("src_conn_cnt", "src_conn_cnt()", "src_conn_cnt(b_other)", "src_conn_cnt(b_none)"),
    *("src_conn_cnt(b_few)", "src_conn_cnt(b_text)", "src_conn_cnt(b_six)"),
    *("src_conn_cnt(b_number)", "src_conn_cnt(b_bytes)", "src_conn_cur", "src_conn_cur(b_few)"),
    *(
        "src_get_gpc0(b_few)",
        "src_get_gpc0(b_none)",
        "src_get_gpc1(b_other)",
        "src_kbytes_in(b_other)",
    ),
    *("src_get_gpc(1,b_array)", "src_get_gpt(0,b_array)", "src_gpc_rate(0,b_array)"),
    *("src_http_req_cnt(b_other)", "src_http_req_rate(b_other)", "src_sess_rate"),
    *("src_inc_gpc0(b_made1)", "src_inc_gpc0(b_made1)", "src_gpc0_rate(b_made1)"),
    *("src_clr_gpc0(b_made1)", "src_get_gpc0(b_made1)", "src_clr_gpc0(b_made2)"),
    *(
        "src_inc_gpc0(b_few)",
        "src_clr_gpc0(b_few)",
        "src_inc_gpc1(b_other)",
        "src_clr_gpc1(b_made1)",
    ),
    *("sc0_inc_gpc0(b_made3)", "sc0_clr_gpc0(b_made4)", "sc1_inc_gpc0(b_made5)", "sc1_inc_gpc0"),
    *("sc0_inc_gpc0", "sc0_clr_gpc0", "sc0_inc_gpc1(b_other)", "sc_inc_gpc0(0,b_other)"),
    *("sc_inc_gpc(1,0,b_array)", "sc_inc_gpc(1,0,b_array)", "sc_clr_gpc(1,0,b_array)"),
    *("sc_inc_gpc(7,0,b_array)", "sc0_inc_gpc0(b_array)", "src_inc_gpc(2,b_array)"),
    *("src_clr_gpc(2,b_array)", "src_clr_gpc(2,b_array)"),
    *("src_updt_conn_cnt(b_made6)", "src_updt_conn_cnt(b_made6)", "src_updt_conn_cnt(b_few)"),
    *("src_updt_conn_cnt(b_other)", "src_conn_rate(b_made6)"),
    *("src_inc_gpc0(b_bare1)", "src_clr_gpc0(b_bare2)", "src_updt_conn_cnt(b_bare3)"),
    *("src,in_table(b_none)", "src,in_table(b_other)", "src,in_table(b_text)", "src,in_table"),
    *(
        "src,in_table()",
        "src,in_table(b_number)",
        "src,in_table(b_six)",
        "src_port,in_table(b_other)",
    ),
    *(
        "always_true,in_table(b_other)",
        "src,in_table(b_other),not",
        "src,ipmask(8),in_table(b_other)",
    ),
    *("src,table_conn_cnt(b_none)", "src,table_conn_cnt(b_other)", "src,table_conn_cnt(b_few)"),
    *("src,table_conn_cnt(b_other),add(5)", "src,table_gpc0(b_few)", "src,table_gpc0(b_none)"),
    *("src,table_trackers(b_other)", "src,table_trackers(b_none)", "src,table_trackers"),
    *("src,table_server_id(b_other)", "src,table_gpc0(b_array)", "src,table_gpc(1,b_array)"),
    *("src,table_gpc(9,b_array)", "src,table_gpt(0,b_array)", "src,table_gpc_rate(0,b_array)"),
    *("src,table_kbytes_in(b_other)", "src,table_http_req_cnt(b_other)", "src,table_gpt0(b_other)"),
    *("src,table_bytes_in_rate(b_other)", "src,table_conn_cur", "src,table_sess_cnt"),
    *("src,lower,table_conn_cnt(b_other)", "src,lower,field(1,.),table_conn_cnt(b_other)"),
    *("src,lower,field(1,.),in_table(b_other)", "src,lower,in_table(b_text)"),
)
OWN = f"stick-table type ip size 1k expire 1h store {STORED}"


def sections() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {name: (line,) for name, line in TABLES.items()}
    for number, expression in enumerate(EXPRESSIONS):
        found[f"e{number}"] = (
            OWN,
            "tcp-request connection track-sc0 src",
            "tcp-request connection track-sc2 dst_port table b_values",
            f"tcp-request session sc-set-gpt0(2) {NOTHING}",
            f"tcp-request session sc-set-gpt0(2) {expression}",
        )
    return found


def values(place: TablePlace) -> dict[str, int]:
    """The tag of each expression's entry, in the order in which clients came."""
    said = place.program.ask("show table b_values")
    tags = {int(key): int(tag) for key, tag in re.findall(r"key=(\d+) .*gpt0=(\d+)", said)}
    return {
        f"{number} {expression}": tags[place.ports[f"e{number}"]]
        for number, expression in enumerate(EXPRESSIONS)
    }


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[dict[str, int], object]]:
    """The values at each program, and the tables afterwards."""
    folder = tmp_path_factory.mktemp("fetches")
    found = {}
    with serving() as servers:
        for name in ("haproxy", "millrace"):
            with table_place(name, folder, sections(), servers.ports["S1"]) as place:
                for command in FILLED:
                    place.order(command)
                for number in range(len(EXPRESSIONS)):
                    place.visit(f"e{number}", 2)
                tags = values(place)
                place.seen = []
                for table in TABLES:
                    if table != "b_values":
                        # a server's name is shown where stick rules are, and HAProxy holds an
                        # entry for ever whose clearing gives nothing
                        place.table(table, "server_key", "use")
                found[name] = (tags, place.seen)
    return found


@pytest.mark.slow
def test_every_expression_has_haproxy_s_value(
    noted: Mapping[str, tuple[dict[str, int], object]],
) -> None:
    assert noted["millrace"][0] == noted["haproxy"][0]


@pytest.mark.slow
def test_the_tables_are_haproxy_s_afterwards(
    noted: Mapping[str, tuple[dict[str, int], object]],
) -> None:
    assert noted["millrace"][1] == noted["haproxy"][1]


@pytest.mark.slow
def test_what_is_compared_is_something(
    noted: Mapping[str, tuple[dict[str, int], object]],
) -> None:
    tags = noted["haproxy"][0]
    assert NOTHING in tags.values()
    assert len(set(tags.values())) > 8


def test_each_kind_of_word_is_asked() -> None:
    """Words of one counter differ by its number only, so that one of each kind is enough."""
    asked = {re.split("[(,]", part)[0] for each in EXPRESSIONS for part in each.split("),")}
    asked |= {re.split("[(,]", each.partition(",")[2])[0] for each in EXPRESSIONS}
    kinds = {(word.name, word.indexed) for word in ENTRY_FETCHES.values()}
    assert {
        (ENTRY_FETCHES[n].name, ENTRY_FETCHES[n].indexed) for n in asked & ENTRY_FETCHES.keys()
    } == kinds
    of_time = {"table_expire", "table_idle"}  # both programs' are compared with the clock elsewhere
    assert {w.name for w in TABLE_CONVERTERS.values()} - of_time == {
        TABLE_CONVERTERS[n].name for n in asked & TABLE_CONVERTERS.keys()
    }
