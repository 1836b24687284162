"""Entries that sessions follow: the same clients as at HAProxy leave the same counters, and the same
ones are refused where a rule limits them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.rule_cases import serving
from tests.support.tables.place import REFUSED, SERVED, TablePlace, heard, table_place

BYTES = ("bytes_in_cnt", "bytes_in_rate", "bytes_out_cnt", "bytes_out_rate")
STORED = (
    "conn_cnt,conn_cur,conn_rate(1h),sess_cnt,sess_rate(1h),bytes_in_cnt,bytes_in_rate(1h),"
    "bytes_out_cnt,bytes_out_rate(1h),gpc0,gpc0_rate(1h),gpc1,gpc1_rate(1h),gpt0"
)
ALL = f"stick-table type ip size 1k expire 1h store {STORED}"
ARRAYS = "stick-table type ip size 1k expire 1h store gpc(3),gpt(2),gpc_rate(3,1h)"
SECTIONS = {
    "connection": (ALL, "tcp-request connection track-sc0 src"),
    "session": (ALL, "tcp-request session track-sc1 src"),
    "content": (ALL, "tcp-request content track-sc2 src"),
    "again": (
        ALL,
        "tcp-request connection track-sc0 src",
        "tcp-request connection track-sc0 src,ipmask(8)",
        "tcp-request session track-sc0 src,ipmask(16)",
        "tcp-request content track-sc0 src table content",
    ),
    "twofold": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-request connection track-sc1 src",
        "tcp-request content track-sc2 src",
    ),
    "some": (ALL, "tcp-request connection track-sc0 src if { src 127.0.0.3 }"),
    "refused_first": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-request connection reject",
    ),
    "refused_second": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-request session track-sc1 src,ipmask(8)",
        "tcp-request session reject",
    ),
    "refused_third": (
        *(ALL, "tcp-request connection track-sc0 src", "tcp-request inspect-delay 300ms"),
        "tcp-request content track-sc1 src,ipmask(8)",
        "tcp-request content reject if WAIT_END",
    ),
    "waiting": (
        f"stick-table type string len 20 size 1k expire 1h store {STORED}",
        "tcp-request inspect-delay 10s",
        "tcp-request content track-sc0 req.payload(0,5)",
    ),
    "never": (
        f"stick-table type string len 20 size 1k expire 1h store {STORED}",
        "tcp-request inspect-delay 300ms",
        "tcp-request content track-sc0 req.payload(0,5)",
    ),
    "once": (
        "stick-table type string len 20 size 1k expire 1h store gpc0,gpc1,conn_cnt",
        *("tcp-request inspect-delay 10s", "tcp-request content track-sc0 src"),
        "tcp-request content sc-inc-gpc0(0)",
        "tcp-request content track-sc1 req.payload(0,5) if { req.len lt 5 }",
        "tcp-request content sc-inc-gpc1(1)",
        "tcp-request content track-sc2 req.payload(0,9)",
        "tcp-request content sc-inc-gpc1(2)",
    ),
    "counting": (
        *(ALL, "tcp-request inspect-delay 300ms", "tcp-request content track-sc0 src"),
        "tcp-request content sc-inc-gpc0(0)",
        "tcp-request content sc-inc-gpc1(0)",
        "tcp-request content sc-inc-gpc1(1)",
        "tcp-request content sc-set-gpt0(0) 7",
        "tcp-request content accept if WAIT_END",
    ),
    "by_value": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-request session sc-set-gpt0(0) src,ipmask(32)",
        "tcp-request session sc-inc-gpc0(0) if { src 127.0.0.3 }",
        "tcp-request session sc-inc-gpc(0,0)",
        "tcp-request session sc-set-gpt(0,0) 5",
    ),
    "array": (
        *(ARRAYS, "tcp-request connection track-sc0 src"),
        "tcp-request connection sc-inc-gpc(2,0)",
        "tcp-request connection sc-inc-gpc(3,0)",
        "tcp-request connection sc-inc-gpc0(0)",
        "tcp-request connection sc-inc-gpc1(0)",
        "tcp-request connection sc-set-gpt(1,0) 9",
        "tcp-request connection sc-set-gpt0(0) 4",
        "tcp-request connection sc-set-gpt(2,0) 9",
    ),
    "answer": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-response content sc-inc-gpc0(0)",
        "tcp-response content sc-set-gpt0(0) 3 if { src 127.0.0.3 }",
    ),
    "f_front": (
        *(ALL, "tcp-request connection track-sc0 src"),
        "tcp-request content track-sc1 src,ipmask(8)",
        "default_backend b_back",
    ),
    "b_back": (
        *(ALL, "tcp-request content track-sc0 src", "tcp-request content track-sc1 src"),
        "tcp-request content track-sc2 src",
        "tcp-request content sc-inc-gpc0(2)",
        "tcp-request content sc-inc-gpc1(1)",
    ),
    "gone": (
        *(ALL, "tcp-request connection track-sc0 src", "tcp-request inspect-delay 10s"),
        "tcp-request content accept if { req.len ge 3 }",
        "use-server s0 if TRUE",
        "server s0 127.0.0.1:1",
    ),
    "f_nowhere": (
        *(ALL, "tcp-request connection track-sc0 src", "tcp-request inspect-delay 10s"),
        "tcp-request content accept if { req.len ge 3 }",
    ),
    "p_headed": (
        *(ALL, "tcp-request connection track-sc0 src", "tcp-request session track-sc1 src"),
        "tcp-request content track-sc2 src,ipmask(8)",
    ),
    "l_rate": (
        "stick-table type ip size 1k expire 1h store conn_rate(1h)",
        "tcp-request connection track-sc0 src",
        "tcp-request connection reject if { src_conn_rate gt 3 }",
    ),
    "l_tracked": (
        "stick-table type ip size 1k expire 1h store conn_rate(1h)",
        "tcp-request connection reject if { src_conn_rate ge 2 }",
        "tcp-request connection track-sc0 src",
        "tcp-request session reject if { sc0_conn_rate ge 2 }",
    ),
    "l_current": (
        "stick-table type ip size 1k expire 1h store conn_cur",
        "tcp-request connection track-sc0 src",
        "tcp-request connection reject if { sc0_conn_cur gt 2 }",
    ),
    "l_content": (
        "stick-table type ip size 1k expire 1h store conn_cur",
        "tcp-request content track-sc0 src",
        "tcp-request content reject if { sc0_conn_cur gt 1 }",
    ),
    "l_blocked": (
        "stick-table type ip size 1k expire 1h store gpc0",
        "tcp-request connection reject if { src_get_gpc0 gt 0 }",
        "tcp-request inspect-delay 5s",
        "tcp-request content track-sc0 src",
        "tcp-request content sc-inc-gpc0(0) if { req.payload(0,3) -m str bad }",
    ),
    "l_elsewhere": (
        "tcp-request connection reject if { src_get_gpc0(l_blocked) gt 0 }",
        "tcp-request session reject if { src,in_table(l_current) }",
    ),
}


def what_each_stage_counts(place: TablePlace) -> None:
    """While a session is there, and when it has left; HAProxy tells bytes at the end only."""
    for section in ("connection", "session", "content", "again", "twofold", "some"):
        for host in (2, 3, 2):
            with place.stay(section, host) as client:
                place.table(section, *BYTES)
                client.sendall(b"abcdefghij")
                heard(client, b"abcdefghij")
            place.quiet()
            place.table(section)
    place.table("content")


def what_a_refused_client_leaves(place: TablePlace) -> None:
    for section in ("refused_first", "refused_second", "refused_third"):
        place.visit(section, 2, b"abc")
        place.table(section)


def what_an_unserved_client_leaves(place: TablePlace) -> None:
    """Its bytes count, too."""
    for section in ("gone", "f_nowhere", "refused_third"):
        with place.come(section) as client:
            client.sendall(b"abc")
            assert not heard(client, b"one:")
        place.quiet()
        place.table(section)


def a_key_of_bytes_is_waited_for(place: TablePlace) -> None:
    with place.come("waiting") as client:
        client.sendall(b"abc")
        place.table("waiting")
        client.sendall(b"def")
        assert heard(client, b"one:abcdef")
        place.table("waiting", *BYTES)
    place.quiet()
    place.table("waiting")
    place.visit("never", 2)
    place.table("never")


def a_rule_that_waits_goes_on(place: TablePlace) -> None:
    """However often its bytes come, its condition is asked, and those before it count, once."""

    def shows(text: str) -> None:
        wait_for(lambda: text in place.program.ask("show table once"), PATIENCE_SECONDS, text)

    with place.come("once") as client:
        client.sendall(b"abc")
        shows("gpc0=1")
        client.sendall(b"def")
        shows("key=abcde")
        client.sendall(b"g")
        client.sendall(b"hij")
        assert heard(client, b"one:abcdefghij")
    place.quiet()
    place.table("once")


def counters_and_tags(place: TablePlace) -> None:
    for section in ("counting", "by_value", "array", "answer"):
        for host in (2, 3, 2):
            place.visit(section, host)
            place.table(section)


def frontend_and_backend(place: TablePlace) -> None:
    with place.stay("f_front") as client:
        place.table("f_front", *BYTES)
        place.table("b_back", *BYTES)
        client.sendall(b"abc")
        heard(client, b"abc")
    place.quiet()
    place.table("f_front")
    place.table("b_back")


def clients_behind_another_proxy(place: TablePlace) -> None:
    """The header's address is followed from the session rules on; a wrong header is no session."""
    for header in (
        b"PROXY TCP4 10.1.2.3 10.0.0.1 1000 2000\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x04\x0a\0\0\x01\x03\xe8\x07\xd0",
        b"PROXY UNKNOWN\r\n",
    ):
        with place.come("p_headed", 2) as client:
            client.sendall(header + b"abc")
            assert heard(client, b"one:abc")
            place.table("p_headed", *BYTES)
        place.quiet()
        place.table("p_headed")
    with place.come("p_headed", 2) as client:
        client.sendall(b"no header at all\r\n")
        assert not heard(client, b"one:")
    place.quiet()
    place.table("p_headed")


def many_bytes(place: TablePlace) -> None:
    place.visit("connection", 9, b"x" * 300_000, b"y" * 70_000)
    place.table("connection")


def limits_of_rates(place: TablePlace) -> None:
    for section in ("l_rate", "l_tracked"):
        for host in (2, 3, 2, 2, 2, 2, 3, 3, 3, 3):
            place.visit(section, host)
        place.table(section)


def limits_of_current_sessions(place: TablePlace) -> None:
    for section in ("l_current", "l_content"):
        clients = [place.stay(section, host) for host in (2, 2, 2, 3, 2)]
        for number in (4, 2):
            clients[number].close()
        clients[0].close()
        place.stay(section, 3).close()
        for client in clients:
            client.close()
        place.quiet()
        place.visit(section, 2)
        place.table(section)


def clients_that_were_bad(place: TablePlace) -> None:
    for host, said in ((2, b"good"), (3, b"bad!"), (2, b"good"), (3, b"good"), (2, b"bad!")):
        with place.come("l_blocked", host) as client:
            try:
                client.sendall(said)
                served = heard(client, b"one:" + said)
            except OSError:
                served = False
            place.seen.append((host, said, SERVED if served else REFUSED))
        place.quiet()
    place.table("l_blocked")
    place.order("clear table l_current")
    place.order("set table l_current key 127.0.0.7")
    for host in (2, 3, 4, 7, 4):
        place.visit("l_elsewhere", host)


SCENES: tuple[Callable[[TablePlace], None], ...] = (
    what_each_stage_counts,
    what_a_refused_client_leaves,
    what_an_unserved_client_leaves,
    a_key_of_bytes_is_waited_for,
    a_rule_that_waits_goes_on,
    counters_and_tags,
    frontend_and_backend,
    clients_behind_another_proxy,
    many_bytes,
    limits_of_rates,
    limits_of_current_sessions,
    clients_that_were_bad,
)


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[object]]]:
    """All that each program shows, by scene."""
    folder = tmp_path_factory.mktemp("track")
    found: dict[str, dict[str, list[object]]] = {}
    with serving() as servers:
        for name in ("haproxy", "millrace"):
            with table_place(name, folder, SECTIONS, servers.ports["S1"]) as place:
                found[name] = {}
                for scene in SCENES:
                    place.seen = []
                    scene(place)
                    found[name][scene.__name__] = place.seen
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scene", [scene.__name__ for scene in SCENES])
def test_the_counters_and_the_refused_clients_are_haproxy_s(
    noted: dict[str, dict[str, list[object]]], scene: str
) -> None:
    ours, theirs = noted["millrace"][scene], noted["haproxy"][scene]
    assert len(ours) == len(theirs)
    for number, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        assert own == other, f"step {number}"


@pytest.mark.slow
def test_what_is_compared_is_something(noted: dict[str, dict[str, list[object]]]) -> None:
    outcomes = [str(each) for seen in noted["haproxy"].values() for each in seen]
    assert sum(REFUSED in each for each in outcomes) > 10
    assert sum(SERVED in each for each in outcomes) > 30
    assert sum("conn_cur=3" in each for each in outcomes) >= 1
