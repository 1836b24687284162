"""`option httpchk` and `http-check`: what they set, and what is wrong with them."""

from __future__ import annotations

import pytest

from proxy.config.model.checks import (
    ConnectStep,
    HttpCheck,
    HttpExpectStep,
    HttpRequest,
    HttpSendStep,
    HttpStep,
    Match,
    RedisCheck,
    TextMatch,
)
from proxy.config.text.messages import Severity
from shm.check_status import CheckStatus
from tests.support.config.loading import LISTEN, load_text, said, settings_of

HTTP = "option httpchk"
USUAL = HttpExpectStep(
    0, Match.STATUS, b"200-399", error_status=CheckStatus.L7STS, ranges=((200, 399),)
)
DEFAULTS = "defaults\n    option httpchk GET /d\n    http-check expect status 204\n"


def rules_of(*lines: str, before: str = "") -> HttpCheck:
    text = before + LISTEN + "".join(f"    {line}\n" for line in lines)
    rules = settings_of(text + "    server s 127.0.0.2:80 check\n").proxies[0].check_rules
    assert isinstance(rules, HttpCheck)
    return rules


def steps_of(*lines: str) -> tuple[HttpStep, ...]:
    return rules_of(HTTP, *lines).steps


def complaint_of(*lines: str) -> str:
    text = LISTEN + "".join(f"    {line}\n" for line in lines)
    [(line, text)] = said(load_text(text))
    assert line == LISTEN.count("\n") + len(lines)
    return text


@pytest.mark.parametrize(
    ("words", "request_wanted"),
    [
        ("", HttpRequest()),
        (' ""', HttpRequest()),
        (" /x", HttpRequest(uri="/x")),
        (' /x "" HTTP/1.1', HttpRequest(uri="/x", version="HTTP/1.1")),
        (r" PUT / HTTP/1.0\r\n\r\nxyz", HttpRequest("PUT", "/", "HTTP/1.0", body="xyz")),
        (r" GET / HTTP/1.0\r\nA:\ 1%%", HttpRequest("GET", "/", "HTTP/1.0", (("A", "1%"),))),
        (" GET /x", HttpRequest("GET", "/x")),
        (" GET /x HTTP/1.1", HttpRequest("GET", "/x", "HTTP/1.1")),
    ],
)
def test_the_option_alone_sends_and_expects_a_good_status(
    words: str, request_wanted: HttpRequest
) -> None:
    assert rules_of(HTTP + words).steps == (HttpSendStep(0, request_wanted), USUAL)


def test_headers_behind_the_version_are_taken_and_warned_of() -> None:
    text = LISTEN + "    " + HTTP + r" GET /x HTTP/1.1\r\nHost:\ www\r\nA:b\r\n\r\nbody" + "\n"
    loaded = load_text(text + "    server s 127.0.0.2:80 check\n")
    [(_, warning)] = said(loaded, Severity.WARNING)
    assert "use 'http-check send'" in warning
    assert loaded.settings is not None
    rules = loaded.settings.proxies[0].check_rules
    assert isinstance(rules, HttpCheck)
    headers = (("Host", "www"), ("A", "b"))
    assert rules.request == HttpRequest("GET", "/x", "HTTP/1.1", headers, "body")


def test_the_first_request_takes_from_the_option_what_it_does_not_say() -> None:
    assert rules_of(f"{HTTP} GET /x HTTP/1.1", "http-check send hdr A b uri /y").steps[0] == (
        HttpSendStep(1, HttpRequest("GET", "/y", "HTTP/1.1", (("A", "b"),)))
    )


def test_later_requests_take_nothing_from_it() -> None:
    steps = rules_of(
        f"{HTTP} GET /x",
        "http-check connect port 8",
        "http-check send",
        "http-check expect string a",
        "http-check comment second",
        "http-check connect proto h1",
        "http-check send meth PUT",
    ).steps
    assert steps == (
        ConnectStep(1, port=8),
        HttpSendStep(2, HttpRequest("GET", "/x")),
        HttpExpectStep(3, Match.STRING, b"a"),
        ConnectStep(5, "second"),
        HttpSendStep(6, HttpRequest("PUT")),
        USUAL,
    )


def test_an_expectation_has_its_options() -> None:
    assert steps_of(
        "http-check expect min-recv 4 ok-status L7OKC ! hdr name -m beg x- value -m reg ^a+ "
        "tout-status L6TOUT on-success yes on-error no comment c"
    )[1] == HttpExpectStep(
        1,
        Match.HEADER,
        b"",
        comment="c",
        negated=True,
        bytes_min=4,
        ok_status=CheckStatus.L7OKC,
        error_status=CheckStatus.L7STS,
        timeout_status=CheckStatus.L6TOUT,
        on_success="yes",
        on_error="no",
        name=TextMatch("x-", "beg"),
        value=TextMatch("^a+", "reg"),
    )


def test_lists_of_statuses() -> None:
    step = steps_of("http-check expect status 200,204-206,")[1]
    assert isinstance(step, HttpExpectStep)
    assert step.ranges == ((200, 200), (204, 206))


def test_rules_of_defaults_hold_until_the_section_has_its_own() -> None:
    inherited = HttpExpectStep(
        1, Match.STATUS, b"204", error_status=CheckStatus.L7STS, ranges=((204, 204),)
    )
    assert rules_of(before=DEFAULTS).steps[1] == inherited
    own = rules_of("http-check expect string a", before=DEFAULTS).steps
    assert own == (
        HttpSendStep(0, HttpRequest("GET", "/d")),
        HttpExpectStep(1, Match.STRING, b"a"),
    )


def test_404_as_the_way_out_is_inherited() -> None:
    before = "defaults\n    http-check disable-on-404\n"
    assert rules_of(HTTP, before=before).disable_on_404
    assert not rules_of(HTTP).disable_on_404


def test_the_last_option_holds() -> None:
    text = LISTEN + f"    {HTTP}\n    option redis-check\n    server s 127.0.0.2:80 check\n"
    assert isinstance(settings_of(text).proxies[0].check_rules, RedisCheck)


def test_rules_without_their_option_are_warned_of() -> None:
    text = LISTEN + "    http-check expect status 200\n    server s 127.0.0.2:80 check\n"
    [(_, warning)] = said(load_text(text), Severity.WARNING)
    assert "http-check rules without 'option httpchk'" in warning


def test_words_that_need_the_option_are_told_of_without_it() -> None:
    text = LISTEN + "    http-check disable-on-404\n    server s 127.0.0.2:80 check\n"
    [(_, notice)] = said(load_text(text), Severity.NOTICE)
    assert "needs 'option httpchk'" in notice
    text = text.replace("    server", "    http-check send-state\n    option tcp-check\n    server")
    warnings = [warning for _, warning in said(load_text(text), Severity.WARNING)]
    assert ["disable-on-404" in warnings[0], "send-state" in warnings[1]] == [True, True]


@pytest.mark.parametrize("first", ["", "    http-check disable-on-404\n"])
def test_servers_that_track_agree_about_404(first: str) -> None:
    second = "" if first else "    http-check disable-on-404\n"
    text = f"{LISTEN}    {HTTP}\n{first}    server s 127.0.0.2:80 check\n"
    text += f"backend other\n    {HTTP}\n{second}    server t 127.0.0.2:80 track edge/s\n"
    [(_, complaint)] = said(load_text(text))
    assert "disable-on-404 option inconsistency" in complaint


def test_a_server_needs_no_port_where_each_connection_has_one() -> None:
    lines = f"    {HTTP}\n    http-check connect port 8008\n    server s 127.0.0.2 check\n"
    assert settings_of(LISTEN + lines).proxies[0].check_rules


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("http-check", "'http-check' only supports"),
        ("http-check exepct status 200", "did you mean 'expect' maybe"),
        ("http-check comment", "expects a string"),
        ("http-check disable-on-404 foo", "unexpected argument 'foo'"),
        ("http-check send-state foo", "unexpected argument 'foo'"),
        ("http-check set-var(a) int(1)", "A variable name must be start by its scope"),
        ("http-check expect", "expects a pattern"),
        ("http-check expect stauts 200", "did you mean 'status' maybe"),
        ("http-check expect binary 00", "only supports"),
        ("http-check expect status", "'status' expects a pattern"),
        ("http-check expect status 2xx", "invalid character 'x' in the list of status codes"),
        ("http-check expect status 300-200", "invalid range of status codes '300-200'"),
        ("http-check expect status 200-", "invalid range of status codes '200-'"),
        ("http-check expect status 200 string a", "only one pattern is expected"),
        ("http-check expect rstatus (", "regex '(' is invalid"),
        ("http-check expect ! comment a status 200", "'!' is not supported with 'comment'"),
        ("http-check expect string-lf %[a]", "fetch method 'a' is unknown, not available"),
        ("http-check expect string-lf %[res.len]", "not available in a health check of this kind"),
        ("http-check expect hdr x-a", "'hdr' expects 'name' and a pattern"),
        ("http-check expect hdr name -m foo x", "'-m' only supports"),
        ("http-check expect hdr name x value -m reg (", "regex '(' is invalid"),
        ("http-check expect fhdr name-lf -m reg x", "not supported with a regex matching method"),
        ("http-check expect hdr name x value-lf %x", "no such format variable 'x'"),
        ("http-check send method GET", "did you mean 'meth' maybe"),
        ("http-check send hdr A", "'hdr' expects <name> and <value>"),
        ("http-check send hdr A %[req.hdr(x)]", "fetch method 'req.hdr' is unknown, not"),
        ("http-check send hdr Host a hdr host b", "'Host' header already defined"),
        ("http-check send uri-lf /%r", "format variable 'r' is reserved for HTTP mode."),
        ("http-check connect proto h2", "'proto' is not supported yet"),
        ("option httpchk GET / HTTP/1.1 x", "unexpected argument 'x'"),
        (r"option httpchk GET / HTTP/1.1\r\nfoo", "'foo' behind the version is no header"),
        (r"option httpchk GET / HTTP/1.1\r\nA:b\r\n\ c:d", "' c:d' behind the version is no"),
        (r"option httpchk GET / HTTP/1.1\r\nA:\ 1%", "truncated line after '%'"),
        ("no option httpchk", "cannot stand before"),
    ],
)
def test_what_is_wrong_is_told(line: str, complaint: str) -> None:
    assert complaint in complaint_of(line)


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (("expect status 200", "send"), "connect"),
        (("send", "send"), "connect"),
        (("connect", "expect status 200"), "send"),
        (("connect", "connect"), "expect"),
        (("connect", "send", "connect"), "expect"),
    ],
)
def test_each_connection_has_one_request_and_expectations(
    lines: tuple[str, ...], missing: str
) -> None:
    complaint = complaint_of(*(f"http-check {line}" for line in lines))
    assert f"there is no '{missing}' before it" in complaint
