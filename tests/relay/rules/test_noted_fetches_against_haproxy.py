"""What is noted of a session, and what tables and servers are as a whole: in the log, as HAProxy's.

Each section writes what it is asked into its line; the lines of both programs are the same.
"""

from __future__ import annotations

import struct

import pytest

from proxy.config.lines.rules.state_fetches import CLEAR_FETCHES
from tests.support.relay.lines import Logging, lines_of_both

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TABLE = ("stick-table type ip size 100 expire 100s store conn_cnt,gpc0",)
OF_TLS = [word for words, *_ in CLEAR_FETCHES for word in words.split()]


def header(*fields: tuple[int, bytes], command: int = 0x21) -> bytes:
    """A PROXY header of version 2 from 10.1.1.1:1000, and a byte behind it."""
    body = bytes([10, 1, 1, 1, 10, 2, 2, 2]) + struct.pack("!HH", 1000, 80)
    for kind, value in fields:
        body += bytes([kind]) + struct.pack("!H", len(value)) + value
    return SIGNATURE + bytes([command, 0x11]) + struct.pack("!H", len(body)) + body + b"x"


def told(*expressions: str) -> str:
    """A format that tells these."""
    return "log-format '" + " ".join(f"<%[{each}]>" for each in expressions) + "'"


FIELDS = told(
    *("fc_pp_authority", "fc_pp_unique_id", "fc_pp_authority,length", "fc_pp_unique_id,length"),
    *("fc_src", "fc_dst", "fc_rcvd_proxy", "src", "dst_port,bool", "fc_src_is_local"),
)
RULE = told("last_rule_line", "last_rule_file,length,bool")
CASES = {
    "fields": Logging(
        (FIELDS,),
        (
            header((2, b"a.b"), (5, b"id")),
            header((2, b""), (5, b"")),
            header(),
            header((2, b"x" * 255), (5, b"y" * 128)),
            header((2, b"a"), (2, b"b"), (5, b"1"), (5, b"2")),
            header((2, b"a\0b"), (3 + 1, b"zz")),
            header((2, b"no"), command=0x20),
            b"PROXY TCP4 10.1.1.1 10.2.2.2 1 2\r\nx",
        ),
        bind="accept-proxy",
    ),
    "fields in a rule": Logging(
        (
            "tcp-request content set-var(txn.a) fc_pp_unique_id",
            "tcp-request content reject if { fc_pp_authority -m str no }",
            "log-format '<%[var(txn.a)]> %ts'",
        ),
        (header((2, b"no"), (5, b"1")), header((2, b"yes"), (5, b"2")), header()),
        bind="accept-proxy",
    ),
    "no rule": Logging((RULE,)),
    "accept": Logging(
        (
            "tcp-request connection accept",
            "tcp-request session accept",
            "tcp-request content accept",
            RULE,
        )
    ),
    "reject": Logging(
        (
            "tcp-request inspect-delay 4s",
            "tcp-request content accept if { req.len gt 100 }",
            "tcp-request content reject if { req.len ge 5 }",
            RULE,
        )
    ),
    "none that holds": Logging(("tcp-request content reject if { req.len gt 100 }", RULE)),
    "of the backend": Logging(
        ("tcp-request content accept", RULE), backend=("tcp-request content accept",)
    ),
    "tables": Logging(
        (
            "tcp-request connection track-sc0 src table <own>",
            told(
                *("table_cnt(<own>)", "table_avl(<own>)", "sc0_conn_cnt", "src_conn_cnt(<own>)"),
                *("src,in_table(<own>)", "src,table_conn_cnt(<own>)", "sc_tracked(0)"),
                *("sc1_tracked", "sc1_conn_cnt", "sc0_inc_gpc0", "sc0_get_gpc0"),
                *("str(10.9.9.9),table_expire(<own>)", "str(10.9.9.9),table_expire(<own>,7)"),
                *("str(10.9.9.9),table_idle(<own>,8)", "str(10.9.9.9),table_idle(<own>)"),
                *("src,table_expire(<own>),div(1000)", "src,table_idle(<own>),div(1000)"),
            ),
        ),
        (b"1", b"2", b"3"),
        backend=TABLE,
    ),
    "tables without age": Logging(
        (
            "tcp-request connection track-sc0 src table <own>",
            told("src,table_expire(<own>)", "src,table_idle(<own>)", "table_cnt(<own>)"),
        ),
        (b"1", b"2"),
        backend=("stick-table type ip size 100 store conn_cnt",),
    ),
    "many entries": Logging(
        (
            "tcp-request inspect-delay 4s",
            "tcp-request content track-sc0 req.payload(0,2) table <own>",
            told("table_cnt(<own>)", "table_avl(<own>)"),
        ),
        tuple(b"%02d" % number for number in range(12)),
        backend=("stick-table type binary len 2 size 100 expire 1h store conn_cnt",),
    ),
    "loads": Logging(
        (
            told(
                *("srv_sess_rate(<own>/s1),bool", "be_sess_rate(<own>),bool", "connslots(<own>)"),
                *("fe_sess_rate,bool", "srv_conn(<own>/s1)", "nbsrv(<own>)", "stopping", "so_id"),
                *("fc_rtt(us),bool", "fc_unacked", "fc_lost", "fc_src", "fc_dst_port,bool"),
                *("avg_queue(<own>)", "be_conn_free(<own>)", "srv_weight(<own>/s1)", "fe_defbe"),
                *("src_is_local", "dst_is_local", "fe_client_timeout,bool"),
            ),
        ),
        (b"1", b"2", b"3"),
    ),
    "rates": Logging(  # of the last second: a second client may come later than that
        (told("srv_sess_rate(<own>/s1)", "be_sess_rate(<own>)", "fe_sess_rate"),), (b"1",)
    ),
    "errors": Logging((told("fc_err", "fc_err_str", "fc_http_major"),)),
    "tls": Logging((told(*(word for word in OF_TLS)),)),
    "tls in rules": Logging(
        (
            "tcp-request content set-var(txn.a) ssl_fc",
            "tcp-request content set-var(txn.b) ssl_c_s_dn(CN)",
            "tcp-request content set-var(txn.c) str(there) if { ssl_fc_has_sni -m found }",
            "tcp-request content reject if { ssl_fc }",
            "tcp-request content reject unless { ssl_c_used } { req.len gt 3 }",
            told("var(txn.a)", "var(txn.b)", "var(txn.c)", "last_rule_line"),
        ),
        (b"hello", b"ok"),
    ),
    "variables": Logging(
        (
            "tcp-request inspect-delay 4s",
            "tcp-request content capture req.payload(0,5) len 5",
            "tcp-request content set-var(txn.a) str(one)",
            "tcp-request content set-var(txn.n) str()",
            "tcp-request content set-var(txn.b) str(x),add_item(-,txn.a,>)",
            "tcp-request content set-var(txn.c) str(),add_item(-,txn.a,>)",
            "tcp-request content set-var(txn.d) str(x),add_item(-,txn.none)",
            "tcp-request content set-var(txn.e) str(x),add_item(-,,end)",
            "tcp-request content set-var(txn.i) str(x),add_item(-,txn.n)",
            "tcp-request content set-var(txn.f) str(one),secure_memcmp(txn.a)",
            "tcp-request content set-var(txn.g) str(two),secure_memcmp(txn.a)",
            "tcp-request content set-var(txn.h) str(x),secure_memcmp(txn.none)",
            "tcp-request content set-var(txn.j) req.len,set-var(txn.k),add(1),set-var(txn.l)",
            "tcp-request content set-var(txn.q) str(q),unset-var(txn.none)",
            "tcp-request content set-var(txn.m) str(q),set-var(txn.a),upper",
            "tcp-request content set-var(txn.o) str(q),unset-var(txn.e)",
            "tcp-request content reject if { str(z),set-var(txn.p) -m str no }",
            told(*(f"var(txn.{name})" for name in "abcdefghijklmopq")),
        )
    ),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """What each program logs for each case."""
    return lines_of_both(tmp_path_factory.mktemp("lines"), list(CASES.values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_line_says_what_haproxys_says(lines: dict[str, list[list[str]]], name: str) -> None:
    number = list(CASES).index(name)
    theirs, ours = lines["haproxy"][number], lines["millrace"][number]
    assert all(theirs), "HAProxy logs each"
    assert ours == theirs
