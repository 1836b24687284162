"""The words about logs: what they set, and what a format is made of."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.lines.rules.log_format import (
    CONSTANTS,
    FETCHES,
    HTTP_VARIABLES,
    VARIABLES,
    parse_log_format,
)
from proxy.config.model.settings import AccessLog, LogItem
from proxy.config.text.messages import ConfigError, Severity
from tests.support.config.loading import (
    LISTEN,
    listen_with,
    load_text,
    only_alert,
    said,
    settings_of,
)

GLOBAL = "global\n    log 127.0.0.1 local0\n"
FLAGS = ("quote", "hexadecimal", "escape")

names = st.sampled_from(sorted(VARIABLES))
flags = st.sets(st.sampled_from("QXE"))
texts = st.text(st.characters(codec="ascii", exclude_characters="% ", min_codepoint=32), min_size=1)


def written(name: str, letters: set[str]) -> str:
    return f"%{{{','.join('+' + letter for letter in letters)}}}{name}" if letters else f"%{name}"


def item(name: str, letters: set[str]) -> LogItem:
    return LogItem(name, "", "Q" in letters, "X" in letters, "E" in letters)


def log_of(text: str) -> AccessLog:
    found = settings_of(text).proxies[0].access_log
    assert found is not None
    return found


@given(st.lists(st.tuples(names, flags, texts), min_size=1))
def test_what_is_written_is_what_is_read(parts: list[tuple[str, set[str], str]]) -> None:
    text = "".join(f"{written(name, letters)} {literal} " for name, letters, literal in parts)
    wanted = [
        each
        for name, letters, literal in parts
        for each in (item(name, letters), LogItem("text", f" {literal} "))
    ]
    assert list(parse_log_format(text)) == wanted


@given(st.text())
def test_no_text_is_more_than_an_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        items = parse_log_format(text)
        literal = "".join(item.text for item in items if item.name == "text")
        assert "  " not in literal.replace("%", "") or "%" in text


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("a   b", ["a b"]),
        ("  a ", ["a "]),
        ("100%% of %%", ["100% of %"]),
        ("a\tb", ["a\tb"]),
    ],
)
def test_several_spaces_are_one(text: str, texts: list[str]) -> None:
    assert [item.text for item in parse_log_format(text)] == texts


def test_flags_of_o_hold_for_what_follows() -> None:
    assert parse_log_format("%{+Q,+X}o %ci %{-X}cp") == (
        item("ci", {"Q", "X"}),
        LogItem("text", " "),
        item("cp", {"Q"}),
    )


def test_fetches_are_items_like_variables() -> None:
    assert parse_log_format('%{+Q}[src]%[str("a ) b")]%[int(007)]') == (
        item("src", {"Q"}),
        LogItem("constant", "a ) b"),
        LogItem("constant", "7"),
    )
    for name in FETCHES - CONSTANTS:
        assert [each.name for each in parse_log_format(f"%[{name}]")] == [name]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("%", "truncated line after '%'."),
        ("%b %{+Q", "truncated line after '+Q'."),
        ("% b", "unexpected variable name near ' ' at position 1 line : '% b'."),
        ("%bxy", "no such format variable 'bxy'."),
        *((f"%{name}", f"'{name}' is reserved for HTTP mode.") for name in sorted(HTTP_VARIABLES)),
        ("%[src", "missing ']' after 'src'."),
        ("%[src,lowr]", "unknown converter 'lowr', or not supported yet"),
        ("%[req.hdr(host)]", "sample fetch <req.hdr(host)> may not be reliably used here"),
        (
            "%[req.ssl_sni,lower]",
            "<req.ssl_sni,lower> may not be reliably used here because it needs bytes",
        ),
        ("%[nbsrv(nosuch)]", "unable to find backend 'nosuch' that an expression names"),
        ("%[srv_nam]", "fetch method 'srv_nam' is unknown, not available in a log format"),
        ("%[src(1)]", "'%[src]' takes no argument"),
        ("%[str]", "'%[str(...)]' expects an argument"),
        ("%[int(x)]", "x"),
    ],
)
def test_a_format_that_is_wrong_is_named_with_its_line(text: str, complaint: str) -> None:
    place, said_text = only_alert(f"{LISTEN}    log 127.0.0.1 local0\n    log-format '{text}'\n")
    assert place == 8
    assert said_text.startswith("failed to parse log-format : ")
    assert complaint in said_text


def test_a_wrong_format_of_defaults_is_named_once() -> None:
    text = "defaults\n    log 127.0.0.1 local0\n    log-format %Xx\n"
    place, _ = only_alert(f"{text}{LISTEN}{LISTEN.replace('edge', 'b')}")
    assert place == 3


def test_a_format_for_http_in_defaults_harms_no_section_that_does_not_log() -> None:
    text = "defaults\n    mode http\n    log-format %HM\n"
    assert load_text(f"{text}backend b\n    mode tcp\n").settings is not None


@pytest.mark.parametrize("line", ["log-format", "log-format ''", "log-format a b", "log-tag"])
def test_a_word_without_its_argument_is_an_alert(line: str) -> None:
    assert only_alert(listen_with(line))[0] == 7


def test_a_section_logs_where_it_says() -> None:
    log = log_of(f"{GLOBAL}{LISTEN}    log global\n    log logs.test:99 local1 err\n")
    assert [(t.endpoint and (t.endpoint.host, t.endpoint.port), t.facility, t.max_level)
            for t in log.targets] == [
        (("127.0.0.1", 514), 16, 7), (("127.9.9.9", 99), 17, 3)]  # fmt: skip
    assert (log.tag, log.items) == ("haproxy", ())


def test_global_targets_given_twice_count_once() -> None:
    text = f"{GLOBAL}{LISTEN}    log global\n    log global\n    log 127.0.0.1 local0\n"
    assert len(log_of(text).targets) == 1


def test_no_log_forgets_what_defaults_said() -> None:
    text = f"{GLOBAL}defaults\n    log global\n{LISTEN}    no log\n"
    assert settings_of(text).proxies[0].access_log is None


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("option dontlognull", "skip_null"),
        ("option dontlog-normal", "skip_normal"),
        ("option log-separate-errors", "separate_errors"),
        ("option logasap", "as_soon"),
    ],
)
def test_options_of_the_log(line: str, field: str) -> None:
    text = f"{LISTEN}    log 127.0.0.1 local0\n"
    assert getattr(log_of(f"{text}    {line}\n"), field) is True
    assert getattr(log_of(f"{text}    {line}\n    no {line}\n"), field) is False


def test_the_last_format_counts_and_an_http_log_is_a_tcp_log() -> None:
    text = f"{LISTEN}    log 127.0.0.1 local0\n"
    usual = log_of(f"{text}    option tcplog\n").items
    assert log_of(f"{text}    log-format %b\n    option tcplog\n").items == usual
    assert log_of(f"{text}    option tcplog\n    log-format %b\n").items == (LogItem("b"),)
    assert log_of(f"{text}    option httplog\n").items == usual
    assert log_of(f"{text}    option httplog\n    log-format %b\n").items == (LogItem("b"),)


@pytest.mark.parametrize("line", ["option tcplog", "option tcplog\n    log global"])
def test_a_format_without_a_target_is_warned_of(line: str) -> None:
    outcome = load_text(listen_with(line))
    assert said(outcome, Severity.WARNING) == [
        (0, "log format ignored for proxy 'edge' since it has no log address.")
    ]


@pytest.mark.parametrize("word", ["option tcplog", "option httplog", "log-format"])
def test_a_format_in_a_backend_is_warned_of_as_by_haproxy(word: str) -> None:
    line = f"{word} x" if word == "log-format" else word
    outcome = load_text(f"{LISTEN}backend b\n    {line}\n")
    place, text = said(outcome, Severity.WARNING)[0]
    assert place == LISTEN.count("\n") + 2
    assert text == f"backend 'b' : '{word}' directive is ignored in backends."


def test_sample_says_which_lines() -> None:
    log = log_of(f"{LISTEN}    log 127.0.0.1 sample 1,3-4:5 local0\n")
    assert log.targets[0].sample == (True, False, True, True, False)


@pytest.mark.parametrize(
    ("host", "given", "format_"),
    [("", "", "local"), ("log-send-hostname x", "", "rfc3164"), ("", "format raw", "raw")],
)
def test_the_usual_format_has_the_host_where_it_is_sent(
    host: str, given: str, format_: str
) -> None:
    text = f"{LISTEN}    log 127.0.0.1 {given} local0\nglobal\n    {host}\n"
    assert log_of(text).targets[0].format == format_


def test_a_tag_of_a_section_is_its_own() -> None:
    text = f"global\n    log-tag g\n{LISTEN}    log 127.0.0.1 local0\n"
    assert log_of(text).tag == "g"
    assert log_of(f"{text}    log-tag own\n").tag == "own"
