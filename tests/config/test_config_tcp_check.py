"""`tcp-check` and the options that say how servers are checked."""

from __future__ import annotations

import pytest

from proxy.config.model.checks import (
    ConnectStep,
    ExpectStep,
    Match,
    RedisCheck,
    SendStep,
    TcpCheck,
)
from proxy.config.text.messages import Severity
from shm.check_status import CheckStatus
from tests.support.config.loading import LISTEN, load_text, said, settings_of

TCP = "option tcp-check"


def rules_of(*lines: str, before: str = "") -> object:
    text = before + LISTEN + "".join(f"    {line}\n" for line in lines)
    return settings_of(text + "    server s 127.0.0.2:80 check\n").proxies[0].check_rules


def steps_of(*lines: str) -> tuple[object, ...]:
    rules = rules_of(TCP, *lines)
    assert isinstance(rules, TcpCheck)
    return rules.steps


def complaint_of(*lines: str) -> str:
    text = LISTEN + "".join(f"    {line}\n" for line in lines)
    [(line, text)] = said(load_text(text))
    assert line == LISTEN.count("\n") + len(lines)
    return text


def test_rules_have_their_numbers_and_comments() -> None:
    assert steps_of(
        "tcp-check comment first",
        "tcp-check connect port 8 addr 127.0.0.3 linger send-proxy default",
        r"tcp-check send PING\r\n comment own",
        "tcp-check send-binary 00ff",
        "tcp-check comment second",
        "tcp-check expect string +PONG",
    ) == (
        ConnectStep(2, "first", 8, "127.0.0.3", None, True, True, True),
        SendStep(3, b"PING\r\n", "own"),
        SendStep(4, b"\0\xff"),
        ExpectStep(6, Match.STRING, b"+PONG", "second"),
    )


def test_an_expectation_has_its_options_in_any_order() -> None:
    assert steps_of(
        "tcp-check expect min-recv 4 ok-status L7OKC !rstring ^a+ error-status L7STS "
        "tout-status L6TOUT on-success yes on-error no comment c"
    ) == (
        ExpectStep(
            number=1,
            match=Match.REGEX,
            pattern=b"^a+",
            comment="c",
            negated=True,
            bytes_min=4,
            ok_status=CheckStatus.L7OKC,
            error_status=CheckStatus.L7STS,
            timeout_status=CheckStatus.L6TOUT,
            on_success="yes",
            on_error="no",
        ),
    )


@pytest.mark.parametrize(
    ("words", "address", "port", "address_port"),
    [
        ("addr 127.0.0.3", "127.0.0.3", None, None),
        ("addr 127.0.0.3:9", "127.0.0.3", None, 9),
        ("port 8 addr 127.0.0.3:9", "127.0.0.3", 8, 9),
        ("addr localhost", "127.0.0.1", None, None),
    ],
)
def test_a_connection_elsewhere(
    words: str, address: str, port: int | None, address_port: int | None
) -> None:
    [step] = steps_of(f"tcp-check connect {words}")
    assert step == ConnectStep(1, "", port, address, address_port)


@pytest.mark.parametrize(
    ("before", "own", "expected"),
    [
        ((TCP, "tcp-check send d"), (), TcpCheck((SendStep(1, b"d"),))),
        ((TCP, "tcp-check send d"), (TCP,), TcpCheck((SendStep(1, b"d"),))),
        ((TCP, "tcp-check send d"), ("tcp-check send o",), TcpCheck((SendStep(1, b"o"),))),
        (("tcp-check send d",), (TCP,), TcpCheck(())),
        ((TCP,), ("tcp-check send o",), TcpCheck((SendStep(1, b"o"),))),
        ((TCP, "tcp-check send d"), ("option redis-check",), RedisCheck()),
        (("option redis-check",), (TCP,), TcpCheck(())),
        (("option redis-check",), (), RedisCheck()),
        ((), ("option redis-check", TCP), TcpCheck(())),
    ],
)
def test_what_defaults_say_is_inherited_as_haproxy_does(
    before: tuple[str, ...], own: tuple[str, ...], expected: object
) -> None:
    defaults = "defaults\n" + "".join(f"    {line}\n" for line in before)
    assert rules_of(*own, before=defaults) == expected


def test_rules_without_their_option_are_warned_of() -> None:
    loaded = load_text(LISTEN + "    tcp-check send a\n    tcp-check send b\n")
    assert loaded.settings is not None
    assert loaded.settings.proxies[0].check_rules is None
    [warning] = [text for _, text in said(loaded, Severity.WARNING) if "tcp-check" in text]
    assert warning == (
        "listen 'edge' uses tcp-check rules without 'option tcp-check', so the rules are ignored"
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("tcp-check", "'tcp-check' only supports 'comment', 'connect'"),
        ("tcp-check sned a", "did you mean 'send' maybe ?"),
        ("tcp-check send", "'tcp-check send' : expects a string"),
        ('tcp-check send ""', "'tcp-check send' : expects a string"),
        ("tcp-check send a b", "expects 'comment' but got 'b'"),
        ("tcp-check send a comment", "'comment' expects a string"),
        ("tcp-check send a comment b c", "unexpected argument 'c'"),
        ("tcp-check send-binary 0", "an even number of hex digits"),
        ("tcp-check send-binary 0g", "'0g' is no binary string"),
        ('tcp-check send-binary "00 01"', "is no binary string"),
        ("tcp-check connect port", "'port' expects a port number"),
        ("tcp-check connect port 0", "'port' must be between 1"),
        ("tcp-check connect port 65536", "'port' must be between 1"),
        ("tcp-check connect port nope", "error detected while parsing port expression"),
        ("tcp-check connect addr", "'addr' expects <ipv4|ipv6>"),
        ("tcp-check connect addr nowhere.test", "cannot resolve 'nowhere.test'"),
        ("tcp-check connect addr /tmp/x", "'addr' is not supported with '/tmp/x'"),
        ("tcp-check connect poort 5", "did you mean 'port' maybe ?"),
        ("tcp-check connect via-socks4", "'via-socks4' is not supported"),
        ("tcp-check expect", "expects a pattern"),
        ("tcp-check expect comment x", "expects a pattern"),
        ("tcp-check expect string", "'string' expects a pattern"),
        ("tcp-check expect !", "expects a pattern behind '!'"),
        ("tcp-check expect strnig a", "did you mean 'string' maybe ?"),
        ("tcp-check expect status 200", "but got 'status'"),
        ("tcp-check expect string a string b", "only one pattern is expected"),
        ("tcp-check expect string a b", "but got 'b'"),
        ("tcp-check expect rstring (a", "regex '(a' is invalid"),
        ("tcp-check expect binary zz", "'zz' is no binary string"),
        ("tcp-check expect min-recv -2 string a", "'min-recv' must be between -1"),
        ("tcp-check expect min-recv a string a", "'min-recv' expects a whole number"),
        ("tcp-check expect ! min-recv 4 string a", "'!' is not supported with 'min-recv'"),
        ("tcp-check expect ok-status L7RSP string a", "'ok-status' only supports 'L4OK'"),
        ("tcp-check expect on-error a%[path] string a", "fetch method 'path' is unknown, not"),
        ("tcp-check expect on-error %nope string a", "no such format variable 'nope'"),
        ("tcp-check expect string-lf %rt", "'%rt' is not supported in a check"),
        ("tcp-check expect string-lf %Tt", "'%Tt' is not supported in a check"),
        ("tcp-check expect string-lf %[str(a),nope]", "unknown converter 'nope', or not"),
        ("tcp-check expect string-lf %[str(a),uper]", "did you mean 'upper' maybe"),
        ("tcp-check expect string-lf %[str(a),add(x)]", "'add': 'x' is not a number"),
        ("tcp-check expect string-lf %[bin(41),add(1)]", "converter 'add' cannot be applied"),
        ("tcp-check expect string-lf %[str(1),bytes(0),even]", "'even' cannot be applied"),
        ("tcp-check expect string-lf %[str(a),field(0,-)]", "the index is not 0"),
        ("tcp-check expect string-lf %[str(a),bytes(-1)]", "no number may be negative"),
        ("tcp-check expect string-lf %[str(a),upper(1)]", "takes no argument ('1')"),
        ("tcp-check expect string-lf %[str(a", "expected ')' behind the arguments of 'str'"),
        ("tcp-check expect string-lf %[str(a)", "missing ']' after 'str(a)'."),
        ("tcp-check expect string-lf %[int(a)]", "'int': 'a' is not a number"),
        ("tcp-check expect string-lf %[bin(4)]", "'bin': '4' is not <hex digits>"),
        ("tcp-check expect string-lf %[ipv4(::1)]", "'ipv4': '::1' is not <address>"),
        ("tcp-check expect string-lf %[date(1,h)]", "'date': the unit is s, ms or us"),
        ("tcp-check expect string-lf %[bool(maybe)]", "'maybe' is neither true nor false"),
        ("tcp-check expect string-lf %[res.payload(1)]", "write res.payload(<offset>,<length>)"),
        ("tcp-check expect string-lf %[status]", "not available in a health check of this kind"),
        ("tcp-check expect string-lf %[var(x)]", "A variable name must be start by its scope"),
        ("tcp-check expect string-lf %[nbsrv(nope)]", "unable to find backend 'nope'"),
        ("tcp-check expect string-lf %[srv_conn(edge/x)]", "unable to find server 'edge/x'"),
        ("tcp-check expect string a status-code nope", "while parsing status-code expression"),
        ("tcp-check comment", "'tcp-check comment' : expects a string"),
        ("tcp-check set-var(check.x)", "expects an expression"),
        ("tcp-check set-var check.x int(1)", "expects 'set-var(<variable>)'"),
        ("tcp-check set-var() int(1)", "Empty variable name cannot be accepted."),
        ("tcp-check set-var(check.x,ifexist) int(1)", 'unknown condition "ifexist"; did you mean'),
        ("tcp-check unset-var(check.x,ifset)", "'unset-var' takes no condition (got 'ifset')"),
        ("tcp-check set-var-fmt(check.x)", "expects a format"),
    ],
)
def test_a_wrong_rule_is_an_error_at_its_line(line: str, complaint: str) -> None:
    assert complaint in complaint_of(TCP, line)


@pytest.mark.parametrize(
    ("rules", "accepted"),
    [
        (("tcp-check connect port 80",), True),
        (("tcp-check connect addr 127.0.0.1:80",), True),
        (("tcp-check connect port 80", "tcp-check connect"), False),
        (("tcp-check send x",), False),
        ((), False),
    ],
)
def test_a_server_needs_no_port_where_each_connection_has_one(
    rules: tuple[str, ...], accepted: bool
) -> None:
    lines = "".join(f"    {line}\n" for line in (TCP, *rules, "server s 127.0.0.2 check"))
    complaints = [text for _, text in said(load_text(LISTEN + lines))]
    assert (complaints == []) is accepted
    assert accepted or "has neither service port nor check port" in complaints[0]


def test_a_later_connect_needs_one_at_the_beginning() -> None:
    text = complaint_of(TCP, "tcp-check expect string a", "tcp-check connect")
    assert "the first step must be a 'connect', too" in text
    assert len(steps_of("tcp-check comment x", "tcp-check connect", "tcp-check connect")) == 2
