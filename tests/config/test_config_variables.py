"""Rules that note something of a session: what they are made of, and what is said of wrong ones."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proxy.config.model.rules import Converter, Rule, RuleAction, Value
from proxy.config.model.sockets import Origin
from tests.support.config.loading import LISTEN, only_alert, settings_of

SERVER = "    server s 127.0.0.1:1\n"


def rules_of(*lines: str) -> tuple[Rule, ...]:
    found = settings_of(LISTEN + "".join(f"    {line}\n" for line in lines) + SERVER)
    rules = found.proxies[0].rules
    assert rules is not None
    return (*rules.connection, *rules.session, *rules.content, *rules.response)


def bare(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The same without their lines and numbers."""
    return tuple(replace(rule, text="", origin=Origin(), number=0) for rule in rules)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("content set-var(txn.a", "incomplete argument after action 'set-var(txn.a'. Expects"),
        ("content set-var src", "invalid or incomplete action 'set-var'. Expects 'set-var("),
        ("content set-var(txn.a)", "missing fetch method"),
        ("content set-var-fmt(txn.a)", "missing format"),
        ("content set-var() src", "Empty variable name cannot be accepted."),
        ("content set-var(foo.a) src", "invalid variable name 'foo.a'. A variable name must be"),
        ("content set-var(txn.a,ifx) src", 'unknown condition "ifx"'),
        ("content set-var(txn.a,ifsett) src", "did you mean 'ifset' maybe"),
        ("content unset-var(txn.a,ifset)", "takes no condition (got 'ifset')"),
        ("content unset-var(txn.a) foo", "only accepts 'if' or 'unless', in listen 'edge' (got 'f"),
        ("content set-var(txn.a) src foo", "only accepts 'if' or 'unless', in listen 'edge' (got"),
        ("content set-var(txn.a) src if nosuch", "no such ACL : 'nosuch'"),
        ("content set-var(txn.a) res.len", "fetch method 'res.len' is unknown, not available"),
        ("connection set-var(sess.a) req.len", "fetch method 'req.len' is unknown, not available"),
        ("content set-var-fmt(txn.a) %[foo]", "fetch method 'foo' is unknown, not available"),
        ("content set-var-fmt(txn.a) %Tt", "'%Tt' is not supported in a rule of connections"),
        ("content set-var(txn.a) src,concat(,foo)", "invalid variable name 'foo'"),
        ("content set-var(txn.a) src,concat(a,txn.b,c,d)", "write concat([<start>],[<variable>]"),
        ("content set-var(txn.a) src,strcmp()", "write strcmp(<variable>)"),
        ("content set-var(txn.a) int(1),add(foo.b)", "'foo.b' is not a number"),
        ("content capture src", "a positive 'len' argument is mandatory"),
        ("content capture src len", "a positive 'len' argument is mandatory"),
        ("content capture src foo 1", "a positive 'len' argument is mandatory"),
        ("content capture src len 0", "length must be > 0"),
        ("content capture src len 16385", "length must be <= 16384"),
        ("content capture", "missing fetch method"),
        ("content capture src len 5 foo", "only accepts 'if' or 'unless', in listen 'edge' (got"),
        ("content capture res.len len 5", "fetch method 'res.len' is unknown, not available"),
        ("connection capture src len 5", "it stands in 'tcp-request content' only"),
        ("content reject if { var(txn.a) x }", "matching method must be specified first"),
    ],
)
def test_a_line_that_is_wrong_says_what(line: str, text: str) -> None:
    where, alert = only_alert(f"{LISTEN}    tcp-request {line}\n{SERVER}")
    assert where == LISTEN.count("\n") + 1
    assert text in alert


@pytest.mark.parametrize("side", ["request", "response"])
def test_nothing_of_no_length_is_declared(side: str) -> None:
    line = f"    declare capture {side} len"
    assert only_alert(f"{LISTEN}{line} 0\n{SERVER}")[1] == "length must be > 0"
    settings_of(f"{LISTEN}{line} 1\n{SERVER}")


def test_conditions_of_http_have_no_variables() -> None:
    section = "listen l\n  mode http\n  bind :7001\n  timeout client 1s\n  stats enable\n"
    text = f"{section}  http-request deny if {{ var(txn.a) -m found }}\n"
    assert "variables ('txn.a') are not supported in rules about requests" in only_alert(text)[1]
    settings_of(text.replace("txn.a", "proc.a"))


def test_one_name_has_one_number_in_all_sections() -> None:
    text = (
        f"{LISTEN}    tcp-request connection set-var(sess.a) src\n"
        "    tcp-request content set-var(txn.b,ifset,iflt) src,concat(-,sess.a)\n"
        f"{SERVER}backend b\n    tcp-request content set-var(txn.b) var(sess.a)\n"
        "    tcp-response content set-var(res.c) var(req.c)\n"
    )
    settings = settings_of(text)
    assert settings.variables == (1, 2, 3)
    edge, other = (proxy.rules for proxy in settings.proxies)
    assert edge is not None
    assert other is not None
    assert bare(edge.connection) == (Rule(RuleAction.SET_VARIABLE, key=Value("src")),)
    concat = Converter("concat", "-", (1, 0, 0), variable="sess.a")
    value = Value("src", converters=(concat,))
    changed = Rule(RuleAction.SET_VARIABLE, target=1, key=value, when=16 + 128)
    assert bare(edge.content) == (changed,)
    key = Value("var", numbers=(0, 0), variable="sess.a")
    assert bare(other.content) == (Rule(RuleAction.SET_VARIABLE, target=1, key=key),)
    gone = Value("var", numbers=(-1, 0), variable="req.c")
    assert bare(other.response) == (Rule(RuleAction.SET_VARIABLE, target=2, key=gone),)


GLOBAL = "global\n    {}\n" + LISTEN + SERVER


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("set-var", "'set-var' requires a process-wide variable name ('proc.<name>') and a sample"),
        ("set-var proc.x", "'set-var' requires a process-wide variable name ('proc.<name>') and"),
        ("set-var-fmt proc.x", "'set-var-fmt' requires a process-wide variable name"),
        (
            "set-var sess.x int(1)",
            "cannot set variable 'sess.x', only scope 'proc' is permitted in",
        ),
        ("set-var x int(1)", "invalid variable name 'x'. A variable name must be start by"),
        ("set-var proc.x-y int(1)", "invalid variable name 'proc.x-y'"),
        (
            "set-var proc.x foo",
            "fetch method 'foo' is unknown, not available in the global section",
        ),
        (
            "set-var proc.x src",
            "fetch method 'src' is unknown, not available in the global section",
        ),
        ("set-var proc.x nbsrv(edge)", "fetch method 'nbsrv' is unknown, not available in the glo"),
        ("set-var proc.x int(1),foo", "unknown converter 'foo'"),
        ("set-var proc.x,ifsett int(1)", "did you mean 'ifset' maybe"),
        ("set-var proc.x int(1),in_table(edge)", "in_table"),
        ("set-var-fmt proc.x %[src]", "fetch method 'src' is unknown, not available in the global"),
    ],
)
def test_a_wrong_line_of_the_global_section_says_what(line: str, text: str) -> None:
    where, alert = only_alert(GLOBAL.format(line))
    assert where == 2
    assert text in alert


def test_variables_of_the_program_have_numbers_of_their_own() -> None:
    lines = "set-var proc.b,ifset int(1)\n    tune.vars.proc-max-size 9"
    rule = "    tcp-request connection set-var(proc.a) var(sess.a),concat(,proc.b)\n"
    shared = settings_of(GLOBAL.format(lines).replace(SERVER, rule + SERVER)).shared
    assert shared.names == ("proc.a", "proc.b")
    assert shared.bytes_max == 9
    (setting,) = shared.settings
    assert (setting.name, setting.number, setting.when) == ("proc.b", 65_537, 16)


def test_what_is_not_there_at_a_stage_has_no_number() -> None:
    lines = (
        "tcp-request connection set-var(txn.a) src",
        "tcp-request session unset-var(req.a)",
        "tcp-request content set-var(res.a) src",
        "tcp-request content set-var(check.a) src",
        "tcp-response content set-var(req.a) int(1)",
    )
    assert [rule.target for rule in rules_of(*lines)] == [-1] * len(lines)


@pytest.mark.parametrize(
    ("line", "asking"),
    [
        ("tcp-request content set-var(txn.a) src_conn_rate(t)", "tcp-request content expression"),
        ("tcp-request session set-var(sess.a) src_conn_rate(t)", "tcp-request session expression"),
        ("tcp-request content capture src_conn_rate(t) len 5", "capture rule"),
        ("tcp-request content set-var-fmt(txn.a) %[src_conn_rate(t)]", "tcp-request content exp"),
        ("use_backend %[src_conn_rate(t)]", "use_backend expression"),
    ],
)
def test_values_ask_tables_that_there_are(line: str, asking: str) -> None:
    _, alert = only_alert(f"{LISTEN}    {line}\n{SERVER}")
    assert alert.startswith(
        "unable to find table 't' referenced in arg 1 of sample fetch keyword 'src_conn_rate' in "
        f"{asking}"
    )
    table = "    stick-table type ip size 9 store conn_rate(9s)\n"
    rules = settings_of(f"{LISTEN}    {line}\n{SERVER}backend t\n{table}").proxies[0].rules
    assert rules is not None
    (rule,) = dict.fromkeys(rules.every)
    value = rule.key or rule.form[0].value
    assert value is not None
    assert (value.numbers[1], value.table) == (0, None)


def test_captures_have_the_places_of_their_lines() -> None:
    lines = (
        "tcp-request content capture src len 5",
        "declare capture request len 9",
        "tcp-request content capture dst len 6 if { src 127.0.0.1 }",
        "tcp-request content set-var(txn.a) capture.req.hdr(2)",
    )
    first, second, third = rules_of(*lines)
    assert (first.action, first.length, first.target) == (RuleAction.CAPTURE, 5, 0)
    assert (second.action, second.length, second.target) == (RuleAction.CAPTURE, 6, 1)
    assert third.key is not None
    assert third.key.numbers == (1, 0)


def test_more_variables_than_a_session_has_room_for_are_refused() -> None:
    lines = "".join(
        f"    tcp-request content set-var(txn.a{number}) src\n" for number in range(257)
    )
    line, alert = only_alert(LISTEN + lines + SERVER)
    assert line == LISTEN.count("\n") + 257
    assert "more than 256 variables of sessions (at 'txn.a256')" in alert


def test_limits_of_variables() -> None:
    text = "global\n    tune.vars.sess-max-size 1k\n    tune.vars.proc-max-size 7\n" + LISTEN
    assert settings_of(text + SERVER).globals.variable_bytes == (0, 1024, 0, 0, 7)
