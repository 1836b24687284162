"""Variables, captures and expressions of log lines: what HAProxy's line says, Millrace's does."""

from __future__ import annotations

import pytest

from tests.support.content import hellos
from tests.support.relay.rule_cases import (
    SERVERS,
    Case,
    Finish,
    Hear,
    Met,
    Pause,
    Step,
    met_by_both,
    rules,
)

WAIT = ("tcp-request inspect-delay 400ms", "tcp-request content accept if { req.len ge 5 }")
HELLO: tuple[Step, ...] = (b"hello", Hear(b"one:hello"), Finish())


def setting(*lines: str) -> list[str]:
    """Lines of rules about first bytes, without their keyword."""
    return [f"tcp-request content {line}" for line in lines]


def told(
    name: str,
    said: str,
    *lines: str,
    steps: tuple[Step, ...] = HELLO,
    others: str = "",
    section: str = "",
) -> Case:
    """A client whose line says this, between marks, at the end of its session."""
    log = f'log-format "%ft <{said}> %B %ts"'
    text = rules(log, *lines) if not section else f"  {log}\n{section}"
    return Case(name, text, steps, others)


def values(*expressions: str) -> str:
    return " ".join(f"{number}=%[{each}]" for number, each in enumerate(expressions))


CONDITIONS = setting(
    "set-var(txn.a,ifexists) int(1)",
    "set-var(txn.b,ifnotexists) int(1)",
    "set-var(txn.b,ifnotexists) int(2)",
    "set-var(txn.c,ifset) int(1)",
    "set-var(txn.c,ifexists) int(2)",
    "set-var(txn.d,ifgt) int(1)",
    "set-var(txn.e) int(5)",
    "set-var(txn.e,ifgt) int(2)",
    "set-var(txn.f) int(5)",
    "set-var(txn.f,iflt) int(2)",
    "set-var(txn.g) int(5)",
    "unset-var(txn.g)",
    "set-var(txn.g,ifexists) int(6)",
    "set-var(txn.h,ifempty) str(x)",
    "set-var(txn.i,ifnotempty) str(x)",
    "set-var(txn.j,ifempty) int(1)",
    "set-var(txn.k,ifnotset,ifnotexists) int(1)",
    "set-var(txn.l) str(5)",
    "set-var(txn.l,ifgt) int(9)",
    "unset-var(txn.never)",
)
CONVERTED_CONDITIONS = setting(
    "set-var(txn.out) int(1),set-var(txn.a,ifexists)",
    "set-var(txn.out) int(1),set-var(txn.b,ifnotexists)",
    "set-var(txn.out) int(2),set-var(txn.b,ifnotexists)",
    "set-var(txn.out) int(1),set-var(txn.c,ifset)",
    "set-var(txn.out) int(2),set-var(txn.c,ifexists)",
    "set-var(txn.out) int(5),set-var(txn.d),set-var(txn.d,iflt,ifset)",
    "set-var(txn.out) int(2),set-var(txn.d,ifgt)",
    "set-var(txn.out) int(5),set-var(txn.e)",
    "set-var(txn.out) int(2),set-var(txn.e,iflt)",
    "set-var(txn.out) str(x),set-var(txn.f,ifempty)",
    "set-var(txn.out) str(x),set-var(txn.g,ifnotempty),set-var(txn.g,ifnotset)",
    "set-var(txn.out) str(x),set-var(txn.h),unset-var(txn.h),set-var(txn.h,ifexists)",
)
TYPES = setting(
    "set-var(txn.addr) src",
    "set-var(txn.true) always_true",
    "set-var(txn.bytes) bin(41420043)",
    "set-var(txn.text) str(5x)",
    "set-var(txn.number) int(-7)",
    "set-var(txn.six) ipv6(2001:db8::1)",
    "set-var-fmt(txn.form) %[src]:%[int(5)]",
    "set-var-fmt(txn.spaces) a\\ \\ b",
    "set-var(txn.twice) str(long\\ text)",
    "set-var(txn.twice) int(3)",
    "set-var(txn.again) int(3)",
    "set-var(txn.again) str(text)",
    "set-var(txn.again) var(txn.again),bytes(1,2)",
    "set-var(txn.kept) str(kept)",
    "set-var(txn.kept) var(txn.none)",
)
NAMES = ("addr", "true", "bytes", "text", "number", "six", "form", "spaces", "twice", "again")
NAMES += ("kept", "none")
CASES = [
    told("conditions", values(*(f"var(txn.{letter})" for letter in "abcdefghijkl")), *CONDITIONS),
    told(
        "conditions of converters",
        values("var(txn.out)", *(f"var(txn.{letter})" for letter in "abcdefgh")),
        *CONVERTED_CONDITIONS,
    ),
    told("types", values(*(f"var(txn.{name})" for name in NAMES)), *TYPES),
    told("as numbers", values(*(f"var(txn.{name}),add(1)" for name in NAMES)), *TYPES),
    told("as texts", values(*(f"var(txn.{name}),upper" for name in NAMES)), *TYPES),
    told("as bytes", values(*(f"var(txn.{name}),hex" for name in NAMES)), *TYPES),
    told("as addresses", values(*(f"var(txn.{name}),ipmask(8,32)" for name in NAMES)), *TYPES),
    told("concat", values(*(f"str(a),concat(<,txn.{name},>)" for name in NAMES)), *TYPES),
    told(
        "concat in part",
        values("str(a),concat(x)", "str(a),concat(x,,y)", "int(3),concat(,txn.text)", "src,concat"),
        *TYPES,
    ),
    told("strcmp", values(*(f"str(5x),strcmp(txn.{name})" for name in NAMES)), *TYPES),
    told("shorter", values("str(5),strcmp(txn.text)", "str(5xy),strcmp(txn.text)"), *TYPES),
    told("add", values(*(f"int(100),add(txn.{name})" for name in NAMES)), *TYPES),
    told("mod", values(*(f"int(100),mod(txn.{name})" for name in NAMES)), *TYPES),
    told("defaults", values("var(txn.none,def)", "var(txn.text,def)"), *TYPES),
    told(
        "scopes of requests",
        values("var(txn.a)", "var(txn.b)", "var(txn.c)", "var(req.a)", "var(sess.a)"),
        *setting(
            "set-var(req.a) int(1)",
            "set-var(res.b) int(2)",
            "set-var(sess.a) int(3)",
            "set-var(txn.a) var(req.a)",
            "set-var(txn.b) var(res.b)",
            "set-var(txn.c) var(sess.a)",
        ),
    ),
    told(
        "scopes of responses",
        values("var(txn.a)", "var(txn.b)", "var(txn.c)", "var(res.b)", "var(req.c)", "var(txn.d)"),
        "tcp-request content set-var(req.a) int(1)",
        "tcp-request content set-var(sess.d) int(4)",
        "tcp-response inspect-delay 300ms",
        "tcp-response content set-var(res.b) int(2)",
        "tcp-response content set-var(req.c) int(3)",
        "tcp-response content set-var(txn.a) var(req.a)",
        "tcp-response content set-var(txn.b) var(res.b)",
        "tcp-response content set-var(txn.c) var(req.c)",
        "tcp-response content set-var(txn.d) var(sess.d),add(1)",
        "tcp-response content accept if { res.len ge 4 }",
    ),
    told(
        "before there is a stream",
        values("var(sess.a)", "var(sess.b)", "var(txn.a)", "var(txn.b)", "var(sess.c)"),
        "tcp-request connection set-var(sess.a) dst",
        "tcp-request connection set-var(txn.a) src",
        "tcp-request connection set-var(sess.c) int(1) if { src 127.0.0.9 }",
        "tcp-request session set-var(sess.b) var(sess.a),ipmask(8)",
        "tcp-request session set-var(txn.b) src",
    ),
    told(
        "set anew at each look",
        values("var(txn.p)", "var(txn.first)"),
        "tcp-request inspect-delay 2s",
        "tcp-request content set-var(txn.first,ifnotexists) req.payload(0,3)",
        "tcp-request content set-var(txn.p) req.payload(0,0)",
        "tcp-request content accept if { req.len ge 9 }",
        steps=(b"123", Pause(0.1), b"456", Pause(0.1), b"789", Hear(b"one:123456789"), Finish()),
    ),
    told(
        "rules decide by them",
        values("var(txn.seen)"),
        "tcp-request connection set-var(sess.from) src",
        "tcp-request connection reject if { var(sess.from) -m ip 127.0.0.9 }",
        "tcp-request session reject if { var(sess.none) -m found }",
        *setting(
            "set-var(txn.seen) str(yes) if { var(sess.from) -m ip 127.0.0.0/8 }",
            "reject if { var(txn.seen) -m len 4 }",
            "reject if !{ var(txn.seen),upper -m str YES } or { var(txn.seen) -m beg n }",
            "reject unless { var(txn.none,5) -m int 5 }",
        ),
    ),
    told(
        "they reject",
        "",
        *setting("set-var(txn.a) src", "reject if { var(txn.a) -m found }"),
        steps=(),
    ),
    told(
        "they choose the server",
        values("var(txn.to)", "srv_name"),
        *WAIT,
        "tcp-request content set-var(txn.to) req.payload(0,2)",
        "use-server s2 if { var(txn.to) -m str he }",
        "server s2 <s2>",
        steps=(b"hello", Hear(b"hello"), Finish()),
    ),
    told(
        "of another section",
        values("var(txn.b)", "var(txn.f)", "var(txn.s)", "be_name,length", "fe_name,upper"),
        section="  tcp-request content set-var(txn.f) int(1)\n  use_backend %[str(<other>)]\n",
        others="\nbackend <other>\n  tcp-request content set-var(txn.b) var(txn.f),add(1)\n"
        "  tcp-request content set-var-fmt(txn.s) %[var(txn.b)]-%[var(txn.f)]\n" + SERVERS,
    ),
    told(
        "what a line knows",
        values(
            *("src", "src,ipmask(8)", "dst", "dst,ipmask(8)", "dst_port,mul(0)", "always_true"),
            *("srv_name,upper", "srv_id,add(1)", "so_id", "nbproc", "bc_dst"),
            *("int(-3)", "bool(true)", "str(a)", "ipv6(::1)", "bin(4142)", "str(),length"),
        ),
    ),
    told(
        "flags",
        r"%{+Q}[str(a)] %{+Q}[int(1)] %{+Q}[var(txn.none)] %{+E}[str(a]b)] %{+X}[int(255)] "
        r"%{+Q}[src,ipmask(8)] %{+X}[src] %{+Q,+E}o %[str(x]y)] %[var(txn.none)] %{-Q}[str(z]z)]",
    ),
    told(
        "without a server",
        values("srv_name,upper", "be_name,upper", "bc_src", "bc_dst", "srv_id,add(1)"),
        *setting("reject if { src 127.0.0.1 }"),
        steps=(),
    ),
    told(
        "captures",
        "%hr|%hrl|%{+Q}hr|%{+Q}hrl|%[capture.req.hdr(0)]|%[capture.req.hdr(1),upper]|"
        "%[capture.req.hdr(2)]|%[capture.req.hdr(9)]|%[var(txn.c)]",
        "declare capture request len 5",
        "tcp-request inspect-delay 400ms",
        *setting(
            "capture req.payload(0,3) len 10",
            "capture src len 4",
            "capture src len 4 if { src 127.0.0.9 }",
            "capture var(txn.none) len 4",
            'capture str("") len 4',
            "set-var(txn.c) capture.req.hdr(1)",
        ),
    ),
    Case(
        "a line when the server is reached",
        rules(
            'log-format "%ft <%[var(txn.a)] %[var(txn.late)] %[src,ipmask(8)] %[srv_name,upper]>"',
            "tcp-request content set-var(txn.a) src",
            "tcp-response content set-var(txn.late) src",
        ),
        HELLO,
    ),
    Case(
        "a line with captures",
        rules(
            'log-format "%ft <%hr %[var(txn.late)]>"',
            "tcp-request content capture src len 9",
            "tcp-response content set-var(txn.late) src",
        ),
        HELLO,
    ),
    told("declared only", "%hr|%hrl|%{+Q}hr|%{+Q}hrl", *["declare capture request len 5"] * 2),
    told(
        "captured bytes",
        "%hr|%hrl|%{+Q}hr|%{+Q,+E}hrl|%{+E}hr|%[capture.req.hdr(1),length]",
        *setting(
            "capture bin(01095b20227b7c7d235d7fc3a9255c) len 50",
            "capture bin(414200430044) len 50",
        ),
    ),
    told(
        "a capture waits",
        "%hr",
        "tcp-request inspect-delay 2s",
        "tcp-request content capture req.payload(0,7) len 10",
        steps=(b"four", Pause(0.2), b"five", Hear(b"one:fourfive"), Finish()),
    ),
    told(
        "a capture waits whose condition held",
        "%hr",
        "tcp-request inspect-delay 2s",
        "tcp-request content capture req.payload(0,7) len 10 if { req.len lt 5 }",
        steps=(b"four", Pause(0.2), b"five", Hear(b"one:fourfive"), Finish()),
    ),
    told(
        "nothing before a NUL",
        "%[var(txn.a)] %{+Q}[var(txn.a)] %[bin(0041)] %[capture.req.hdr(0)] %hrl",
        *setting("set-var(txn.a) bin(004142)", "capture bin(004142) len 9"),
    ),
    told(
        "a capture waits in vain",
        "%hr %[var(txn.b)]",
        "tcp-request inspect-delay 300ms",
        *setting("capture req.payload(0,70) len 10", "set-var(txn.b) req.payload(0,0)"),
    ),
    told(
        "the server name",
        "%hr %[var(txn.sni)] %[var(txn.sni),field(2,.)]",
        "tcp-request inspect-delay 2s",
        "tcp-request content set-var(txn.sni) req.ssl_sni",
        "tcp-request content capture req.ssl_sni len 100",
        "tcp-request content accept if { req.ssl_hello_type 1 }",
        steps=(
            hellos.modern(b"a.example.test")[:100],
            Pause(0.1),
            hellos.modern(b"a.example.test")[100:],
            Hear(b"one:\x16"),
            Finish(),
        ),
    ),
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    return met_by_both(CASES, tmp_path_factory.mktemp("variables"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_line_says_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name].lines == met["haproxy"][name].lines
    assert met["millrace"][name] == met["haproxy"][name]
