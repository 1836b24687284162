"""Formats, expressions and variables in `tcp-check`: what HAProxy sends, judges and tells of them."""

from __future__ import annotations

import pytest

from tests.health.check_peers import Act, Case, Told, hold, pause, receive, send, tell

TCP = "option tcp-check"
SHORT = "check inter 400 fall 1 rise 1"  # of servers that never say what is expected
USUAL = Case._field_defaults["server"]
ANSWER = b"+OK 123 abc\r\n"
SAYS = (send(ANSWER), hold)
ALIASES = (
    *("b", "s", "bi", "si", "H", "f", "ft", "ci", "cp", "fi", "fp", "lc", "ID", "B", "U", "ac"),
    *("fc", "bc", "sc", "rc", "sq", "bq", "ts", "tsc", "Tw", "Tc", "Td", "Th", "hr"),
    *("hrl", "hs", "hsl", "sslc", "sslv", "ST"),
)
VALUES = (
    *(
        "str(x)",
        "int(3)",
        "int(-3)",
        "bool(true)",
        "bool(0)",
        "env(HOME)",
        "env(NOPE)",
        "bin(4142)",
    ),
    *("hostname", "proc", "nbproc", "be_name", "srv_name", "srv_id", "meth(GET)", "always_true"),
    *("ipv4(1.2.3.4)", "ipv6(2001:db8::1)", "src", "src_port", "dst", "dst_port", "bc_src"),
    *("nbsrv", "nbsrv(port)", "srv_conn(port/s)", "be_conn", "be_conn(port)", "queue", "res.len"),
    *("srv_is_up(port/s)", "srv_queue(port/s)", "srv_queue(s)", "var(check.x)", "str()"),
    *("var(check.x,abc)", "rand(1)", "str('a,b)c')", "str( x )", "res.payload(0,0)"),
    *("str(aBc),upper", "str(aBc),lower", "str(abc),length", "str(abcdef),bytes(1,2)"),
    *("str(abcdef),bytes(4)", "str(abc),bytes(5)", "str(abc),bytes(1,9)", "int(7),add(3)"),
    *("int(7),sub(9)", "int(7),mul(3)", "int(7),div(2)", "int(-7),div(2)", "int(7),mod(4)"),
    *("int(-7),mod(4)", "int(7),div(0)", "int(7),mod(0)", "int(7),neg", "int(5),and(4)"),
    *("int(5),or(2)", "int(5),xor(1)", "int(5),cpl", "int(0),not", "int(3),bool", "int(3),even"),
    *("int(3),odd", "str(12),add(1)", "str(1x),add(1)", "str(-3),add(1)", "str(+3),add(1)"),
    *("str(0x10),add(1)", "str(abc),add(1)", "str(),add(1)", "int(3),upper", "int(30),length"),
    *("int(255),hex", "str(AB),hex", "int(3),bytes(0,1)", "ipv4(1.2.3.4),upper", "bin(6162),upper"),
    *("ipv4(1.2.3.4),length", "ipv4(1.2.3.4),hex", "ipv4(1.2.3.4),add(1)", "bin(0102),hex"),
    *("int(9223372036854775807),add(1)", "int(-9223372036854775807),sub(5)", "int(3),hex,length"),
    *("int(9223372036854775807),mul(2)", "str(99999999999999999999),add(0)"),
    *("str(f1_f2_f3__f5),field(5,_)", "str(f1_f2_f3__f5),field(2,_,0)", "str(a-b),field(9,-)"),
    *(
        "str(f1_f2_f3__f5),field(2,_,2)",
        "str(f1_f2_f3__f5),field(-2,_,3)",
        "str(a.b-c),field(2,.-)",
    ),
    *("str(abc),field(2,-),length", "str(a-),field(2,-),length", "str(-a),field(-3,-),length"),
    *("always_true,add(2),hex", "bool(1),cpl", "int(4),even,bytes(6)", "bool(true),mul(-3),hex"),
    *("str(abc),bytes(1,0)", "str(f1_f2),field(9223372036854775807,_,9223372036854775807)"),
    *("str(f1_f2),field(2,_,9223372036854775807)", "str(a_b),field(-9223372036854775807,_)"),
    *("str(-9223372036854775808),add(0)", "str(-9223372036854775809),sub(-10)", "str(--1),add(1)"),
    *(
        "int(99999999999999999999)",
        "int(-9223372036854775808),hex",
        "int(1),or(-99999999999999999999)",
    ),
    *("bin(410042),length", "bin(410042),upper,hex", "bin(00),length", "bin(0041),lower,length"),
    *("bin(410042),bytes(1),hex", "int(256),bytes(6),length", "ipv4(1.0.3.4),bytes(0,4),upper,hex"),
    *("bin(5a00615f62),field(-2,_),hex", "bin(61005f61),field(2,_),hex", "bin(410042),hex,length"),
    *("res.payload(0,0),length", "res.payload(0,0),hex,length"),
    *("str(f1_f2_f3__f5),field(-3,_,0)", "str(abc),field(-1,_)", "str(abc),field(1,_)"),
)


def case(*rules: str, acts: tuple[Act, ...] = (receive(1), hold), server: str = USUAL) -> Case:
    """Rules of `tcp-check`; a server that only waits is sent nothing."""
    lines = (TCP, *(f"tcp-check {rule}" for rule in rules))
    return Case(lines, acts, server, heard=acts[:1] != (hold,) and acts != SAYS)


def expects(words: str, *before: str, acts: tuple[Act, ...] = SAYS) -> Case:
    return case(*before, f"expect {words}", acts=acts)


def kept(expression: str, answer: bytes, *, after: str = "var(check.x)") -> Case:
    """What a variable has of an answer."""
    return case(
        "expect string a",
        f"set-var(check.x) {expression}",
        f'send-lf "[%[{after}]]"',
        acts=(send(answer), receive(1), hold),
    )


CASES = {
    **{f"alias_{name}": case(f'send-lf "<%{name}>"') for name in ALIASES},
    **{f"value_{at}": case(f'send-lf "<%[{value}]>"') for at, value in enumerate(VALUES)},
    "quoted": case(f'send-lf "%{{+Q}}o{"|".join("%" + name for name in ALIASES)}"'),
    "escaped": case('send-lf "%{+E}[str(a]b)]%{+Q}[int(3)]%{+Q}[str()]%{-Q}s%{+Q,+E}[bin(415d)]"'),
    "hexadecimal": case('send-lf "%{+X}o%bi %si %lc %s %[int(255)]%[bc_src]"'),
    "spaces": case('send-lf "  a   %%b  "'),
    "nul": case('send-lf "<%[bin(410042)]|%[bin(410a42)]|%[bin(41ff42)]>"'),
    "binary": case('send-binary-lf "4142%[str(43)]"'),
    "binary_odd": case("comment one", 'send-binary-lf "414%[str()]" comment two', acts=(hold,)),
    "binary_otherwise": case('send-binary-lf "zz"', acts=(hold,)),
    "empty": case('send-lf "%[var(check.x)]"', "send x"),
    "empty_last": case('send-lf "%[var(check.x)]"', acts=(hold,)),
    "forgotten": case(
        "expect string OK",
        'send-lf "<%[res.payload(0,3)]|%[res.len]>"',
        acts=(send(ANSWER), receive(3), hold),
    ),
    # what is expected
    "string": expects('string-lf "+%[var(check.x)]"', "set-var(check.x) str(OK)"),
    "string_otherwise": expects('string-lf "%[str(NO)]"', acts=(send(b"+OK\r\n"),)),
    "string_empty": expects('comment cc on-error oe string-lf "%[var(check.x)]"'),
    "string_unwanted": expects('! string-lf "%[str(OK)]"'),
    "string_silent": case('expect comment cc string-lf "a"', acts=(hold,), server=SHORT),
    "string_closed": case('expect comment cc string-lf "a"', acts=()),
    "string_of_answer": expects('string-lf "%[res.payload(1,2)] 1"'),
    "string_too_early": expects(
        'min-recv 1 string-lf "%[res.payload(0,2)]"', "expect string a", acts=(send(b"a"), hold)
    ),
    "bytes": expects('binary-lf "2b%[str(4f)]"'),
    "bytes_otherwise": expects('binary-lf "2b%[str(51)]"', acts=(send(b"+OK\r\n"),)),
    "bytes_odd": expects('comment cc error-status L7STS binary-lf "2b%[str(4)]"'),
    "bytes_no_digits": expects('binary-lf "2bzz"'),
    "bytes_silent": case('expect binary-lf "%[str(4f)]"', acts=(hold,), server=SHORT),
    "bytes_of_answer": expects(
        'binary-lf "%[var(check.x)]"', "expect string O", "set-var(check.x) res.payload(0,4),hex"
    ),
    # what is told
    "success": expects('on-success "%s says %[res.payload(0,5)]" string OK'),
    "success_empty": expects('on-success "%[var(check.x)]" string OK'),
    "success_long": expects(
        'on-success "%[res.payload(0,0)]" string cd', acts=(send(b"a" * 900 + b"cd"), hold)
    ),
    "success_nul": expects(
        'on-success "%[res.payload(0,0)]" string cd', acts=(send(b'a"\0\ncd'), hold)
    ),
    "success_of_two": expects(
        'on-success "%[res.len] B" string b',
        "expect on-success A string a",
        acts=(send(b"ab"), hold),
    ),
    "error": expects('on-error "got %[res.payload(0,5)] %s" comment cc string NO', acts=SAYS[:1]),
    "error_empty": expects('on-error "%[var(check.x)]" comment cc string NO', acts=SAYS[:1]),
    "error_silent": case(
        'expect comment cc on-error "E%s" string-lf a', acts=(hold,), server=SHORT
    ),
    "code": expects("status-code res.payload(4,3) string OK"),
    "code_of_bytes": expects(
        "status-code res.payload(0,4) string OK", acts=(send(b"\x0012 OK"), hold)
    ),
    "code_cut": expects("status-code res.payload(0,4) string OK", acts=(send(b"7\x0012 OK"), hold)),
    "code_of_number": expects("status-code int(77) string OK"),
    **{
        f"code_of_{number}": expects(f"status-code int({number}) string OK")
        for number in (-1, -32_769, 32_768, 65_535, 65_536, 4_294_967_297, 2**63 - 1, -(2**63))
    },
    "code_said": expects("status-code res.payload(3,3) string OK", acts=(send(b"OK -7"), hold)),
    "code_said_large": expects(
        "error-status L7STS status-code res.payload(0,9) string NO", acts=(send(b"999999999"),)
    ),
    "code_otherwise": expects("status-code str(abc) string OK"),
    "code_of_error": expects(
        "error-status L7STS status-code res.payload(5,1) string NO", acts=(send(b"-ERR 7\r\n"),)
    ),
    "code_not_shown": expects("status-code int(9) string NO", acts=SAYS[:1]),
    "code_conditional": expects("ok-status L7OKC status-code res.payload(4,3) string OK"),
    # variables
    "variables": case(
        *("set-var(check.x) str(a)", "set-var(check.y) var(check.x)", "unset-var(check.x)"),
        'send-lf "[%[var(check.x)]][%[var(check.y)]]"',
    ),
    "variable_kept": case(
        *("set-var(check.x) str(a)", "set-var(check.x) var(check.nope)"),
        'send-lf "[%[var(check.x)]]"',
    ),
    "variable_conditions": case(
        *("set-var(check.a,ifexists) int(1)", "set-var(check.b,ifnotexists) int(1)"),
        *("set-var(check.b,ifnotexists) int(2)", "set-var(check.c,ifset) int(1)"),
        *("set-var(check.c,ifexists) int(2)", "set-var(check.d,ifgt) int(1)"),
        *("set-var(check.e) int(5)", "set-var(check.e,ifgt) int(2)", "set-var(check.f) int(5)"),
        *("set-var(check.f,iflt) int(2)", "set-var(check.g) int(5)", "unset-var(check.g)"),
        *("set-var(check.g,ifexists) int(6)", "set-var(check.h,ifempty) str(x)"),
        *("set-var-fmt(check.i,ifnotempty) x%s", "set-var-fmt(check.i,ifnotset) y"),
        *("set-var-fmt(check.j,ifnotexists,ifset) x", "set-var(check.j,ifempty) str()"),
        'send-lf "%s' + "".join(f",%[var(check.{name})]" for name in "abcdefghij") + '"',
    ),
    "variable_of_format": case('set-var-fmt(check.x) "%s-%b"', 'send-lf "[%[var(check.x)]]"'),
    "variable_types": case(
        *("set-var(check.x) bool(true)", "set-var(check.y) ipv4(1.2.3.4)"),
        'send-lf "%[var(check.x),add(2)]%[var(check.y)]"',
    ),
    "variable_scopes": case(
        *("set-var(txn.x) str(a)", "set-var(sess.y) str(b)", "set-var(req.z) str(c)"),
        'send-lf "[%[var(txn.x)]][%[var(sess.y)]][%[var(req.z)]]"',
    ),
    "variable_of_answer": kept("res.payload(4,3)", ANSWER),
    "variable_of_rest": kept("res.payload(2,0)", b"abcde"),
    "variable_end": kept("res.payload(5,0)", b"abcde", after="var(check.x),length"),
    "variable_cut": kept("res.payload(0,0),field(2,:)", b"a:b\0c:d", after="var(check.x),length"),
    "variable_beyond": kept("res.payload(1,9)", b"abcde"),
    "variable_behind": kept("res.payload(9,0)", b"abcde"),
    "variable_block": kept("res.payload_lv(0,1)", b"\x02abcd"),
    "variable_block_cut": kept("res.payload_lv(0,2)", b"\x00\x20abcd"),
    "variable_no_number": kept("res.payload(4,3)", ANSWER, after="var(check.x),add(1)"),
    "variable_text": kept("res.payload(4,3),lower", ANSWER, after="var(check.x),add(1)"),
    "variable_part": kept("str(12),bytes(0,1)", ANSWER, after="var(check.x),add(1)"),
    "variable_bytes": kept("bin(31)", ANSWER, after="var(check.x),even"),
    "variable_method": kept("meth(1)", ANSWER, after="var(check.x),add(1)"),
    "variable_length": kept("res.len,add(10)", b"ab"),
    "variable_large": kept("res.payload(0,0),hex", b"a" * 16_000, after="var(check.x),length"),
    "variable_upper": kept("res.payload(0,0),upper", b"a" * 16_384, after="var(check.x),length"),
    "variable_last": case(
        'expect ok-status L7OKC on-success "S%[var(check.x)]" status-code int(7) string a',
        "set-var(check.x) str(a)",
        acts=(send(b"a"), hold),
    )._replace(heard=False),
    "variable_alone": case("set-var(check.x) str(a)", acts=(hold,)),
    "variable_refused": Case((TCP, "tcp-check set-var(check.x) str(a)"), None),
    "variable_connect_refused": Case(
        (
            *(TCP, "tcp-check set-var(check.x) str(a)", "tcp-check connect comment cc"),
            "tcp-check expect string a",
        ),
        None,
    ),
    "variable_between": case(
        *("expect min-recv 1 ! string ERR", "set-var(check.x) str(OK)"),
        'expect string-lf "%[var(check.x)]"',
        acts=(send(b"hello"), pause, send(b" ERR"), pause, send(b" OK"), hold),
    )._replace(heard=False),
    "comment_before": case(
        *("comment one", "set-var(check.x) str(a)", "expect string b"), acts=(send(b"a"),)
    )._replace(heard=False),
    "large": kept("res.payload(0,0)", b"a" * 9_000, after="var(check.x)]%[var(check.x)"),
    # ports
    "port": case(
        *("set-var(check.p) int(PORT)", "connect port var(check.p)", "send x"),
        server="check port 1 inter 2s fall 1 rise 1",
    ),
    "port_otherwise": case("connect port str(abc)", "send x"),
    "port_none": case("connect port var(check.nope)", "send x"),
    "port_beyond": Case((TCP, "tcp-check connect port int(65537)", "tcp-check send x"), None),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
