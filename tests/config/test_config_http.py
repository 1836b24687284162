"""Mode http: what is warned of in TCP sections, what serves statistics, and what is refused."""

from __future__ import annotations

import pytest

from proxy.config.model.http import Action, HttpSection
from proxy.config.model.settings import Proxy
from proxy.config.text.messages import Severity
from tests.support.config.lists import texts_in
from tests.support.config.loading import (
    LISTEN,
    listen_with,
    load_text,
    only_alert,
    said,
    settings_of,
)

STATS = "listen stats\n    mode http\n    bind 127.0.0.1:1\n    timeout client 1s\n"
EXPORTER = "    http-request use-service prometheus-exporter{}\n"
METRICS = EXPORTER.format(" if { path /metrics }")
DEBIAN_DEFAULTS = (
    "defaults\n    log global\n    mode http\n    option httplog\n    option dontlognull\n"
    "    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n"
    "    errorfile 400 /etc/haproxy/errors/400.http\n    option forwardfor\n"
)


@pytest.mark.parametrize(
    "line",
    [
        *("http-request deny", "http-response deny", "redirect location /x", "stats enable"),
        *("cookie x insert", "capture cookie x len 20", "monitor-uri /x", "option httplog"),
        *("option forwardfor", "option http-buffer-request", "balance uri", "balance hdr(x)"),
    ],
)
def test_an_http_word_in_a_tcp_section_is_warned_of_with_its_line(line: str) -> None:
    outcome = load_text(listen_with(line))
    assert outcome.settings is not None
    ignored = "log format ignored for proxy 'edge' since it has no log address."
    warnings = [warning for warning in said(outcome, Severity.WARNING) if warning[1] != ignored]
    assert [place for place, _ in warnings] == [7]


@pytest.mark.parametrize(
    "line",
    [
        *("errorfile 503 /x", "http-reuse always", "option httpclose", "http-error status 503"),
        *("timeout http-request 5s", "option http-server-close", "unique-id-header X"),
    ],
)
def test_http_words_that_haproxy_ignores_in_silence_are_ignored_in_silence(line: str) -> None:
    outcome = load_text(listen_with(line))
    assert outcome.settings is not None
    assert said(outcome, Severity.WARNING) == []


def test_http_words_of_defaults_are_warned_of_where_a_tcp_section_inherits_them() -> None:
    outcome = load_text(f"{DEBIAN_DEFAULTS}{LISTEN}listen other\n    mode tcp\n    bind :2\n")
    assert outcome.settings is not None
    warnings = [warning for warning in said(outcome, Severity.WARNING) if warning[0]]
    assert [place for place, _ in warnings] == [4, 10, 4, 10]
    assert "'option httplog' not usable with listen 'edge'" in warnings[0][1]
    assert "'option forwardfor' ignored for listen 'other'" in warnings[-1][1]


def http_of(proxy: Proxy) -> HttpSection:
    assert proxy.http is not None
    return proxy.http


def http_in(text: str) -> HttpSection:
    """That of the first section."""
    return http_of(settings_of(text).proxies[0])


def actions(http: HttpSection) -> list[Action]:
    return [rule.action for ruleset in http.rulesets for rule in ruleset]


def page_uri(http: HttpSection) -> str | None:
    return http.page.uri if http.page else None


def test_a_section_with_the_exporter_serves_metrics() -> None:
    settings = settings_of(f"{STATS}{METRICS}    stats enable\n    stats uri /stats\n")
    proxy = settings.proxies[0]
    http = http_of(proxy)
    assert (actions(http), page_uri(http)) == ([Action.METRICS], "/stats")
    assert (proxy.frontend_index, proxy.backend_index, proxy.default_backend) == (0, None, None)
    assert len(settings.binds) == 1
    assert settings.backends == ()


def test_a_section_with_stats_serves_the_page() -> None:
    http = http_in(f"{STATS}    stats enable\n")
    assert (actions(http), page_uri(http)) == ([], "/haproxy?stats")
    http = http_in(f"{STATS}    stats uri /x\n    stats refresh 5s\n    stats realm a\\ b\n")
    assert (page_uri(http), http.realm) == ("/x", "a b")


def test_addresses_are_shown_where_the_section_says_so() -> None:
    for word, shown in (("enable", False), ("show-legends", True)):
        page = http_in(f"{STATS}    stats {word}\n").page
        assert page is not None
        assert page.show_legends == shown


def test_what_the_usual_defaults_say_does_not_disturb_a_statistics_section() -> None:
    text = f"{DEBIAN_DEFAULTS}frontend stats\n    bind 127.0.0.1:1\n{METRICS}    no log\n"
    outcome = load_text(text)
    assert outcome.settings is not None
    assert said(outcome, Severity.WARNING) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("frontend f\n    bind :1\n    mode http\n", 3),
        ("backend b\n    mode http\n    server s 127.0.0.1:80\n", 2),
        ("defaults\n    mode http\nlisten l\n    bind :1\n", 3),
        (f"{STATS}    stats enable\n    server s 127.0.0.1:80\n", 2),
        (f"{STATS}{METRICS}    default_backend b\nbackend b\n", 2),
    ],
)
def test_any_other_http_section_is_refused_where_the_mode_is_said(text: str, line: int) -> None:
    place, complaint = only_alert(text)
    assert (place, "mode http of" in complaint, "Millrace forwards TCP" in complaint) == (
        *(line, True, True),
    )


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("    stats enable\n    http-request silent-drop\n", 6),
        ("    stats enable\n    http-request set-header X y\n", 6),
        ("    stats enable\n    http-request use-service other\n", 6),
        ("    stats enable\n    stats http-request return\n", 6),
        (f"{METRICS}    http-response set-header X y\n", 6),
    ],
)
def test_a_rule_that_is_not_honoured_is_refused_where_it_stands(rest: str, line: int) -> None:
    place, complaint = only_alert(STATS + rest)
    assert place == line
    assert f"'{rest.splitlines()[line - 5].strip()}' is not supported yet" in complaint


@pytest.mark.parametrize(
    ("lines", "paths"),
    [
        (("",), ()),
        ((" if { path /prom }",), ("/prom",)),
        ((" if { path /a /b } || { path /c }",), ("/a", "/b", "/c")),
        ((" if { path /a } or { path /b }", " if { path /c }"), ("/a", "/b", "/c")),
        ((" if { path /a }", ""), ("/a",)),
        (("", " if { path /a }"), ("/a",)),
    ],
)
def test_metrics_are_on_the_paths_of_the_lines(
    lines: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    settings = settings_of(STATS + "".join(EXPORTER.format(line) for line in lines))
    http = http_of(settings.proxies[0])
    assert actions(http) == [Action.METRICS] * len(lines)
    conditions = [rule.condition for ruleset in http.rulesets for rule in ruleset]
    terms = [term for each in conditions if each for term in each.terms]
    lists = [settings.lists[number] for term in terms for number in term.lists]
    found = [text for each in lists for text in texts_in(each)]
    assert tuple(text.decode() for text in found) == paths


def test_a_page_alone_serves_no_metrics() -> None:
    assert actions(http_in(f"{STATS}    stats enable\n")) == []


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_words_of_a_statistics_section_that_do_nothing_are_named(mode: str) -> None:
    words = "    errorfile 502 /x\n    option forwardfor\n    stats enable\n"
    outcome = load_text(STATS.replace("http", mode) + words)
    assert outcome.settings is not None
    named = [text for _, text in said(outcome, Severity.NOTICE) if "errorfile" in text]
    wanted = "'option forwardfor', 'errorfile 502' without effect in listen 'stats': it forwards nothing, and answers as its own lines say"
    assert named == ([wanted] if mode == "http" else [])


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        *(("hide-version", "hide_version", True), ("show-legends", "show_legends", True)),
        *(("refresh 5s", "refresh_seconds", 5), ("refresh 7", "refresh_seconds", 7)),
        *(("show-node", "node", "nnn"), ("show-node x", "node", "x")),
        *(("show-desc", "description", "ddd"), ("show-desc a b", "description", "a b")),
        *(("scope .", "scope", {"stats"}), ("scope x\n    stats scope .", "scope", {"x", "stats"})),
    ],
)
def test_what_the_page_shows_turns_it_on(line: str, field: str, value: object) -> None:
    head = "global\n    node nnn\n    description ddd\n"
    page = http_in(f"{head}{STATS}    stats {line}\n").page
    assert page is not None
    assert (page.uri, getattr(page, field)) == ("/haproxy?stats", value)


def test_who_may_give_orders_is_a_condition_of_the_page() -> None:
    outcome = load_text(f"{STATS}    stats admin if TRUE\n")
    assert outcome.settings is not None
    page = http_of(outcome.settings.proxies[0]).page
    assert page is not None
    assert page.admin is not None


@pytest.mark.parametrize("line", ["show-modules"])
def test_what_changes_nothing_on_the_page_is_named_and_turns_it_on(line: str) -> None:
    outcome = load_text(f"{STATS}    stats {line}\n")
    assert outcome.settings is not None
    assert page_uri(http_of(outcome.settings.proxies[0])) == "/haproxy?stats"
    told = said(outcome, Severity.NOTICE)[0][1]
    assert (told.split()[1].strip("'"), "has no effect here: " in told) == (
        line.split(maxsplit=1)[0],
        True,
    )


BACKEND = (
    "backend shown\n    mode http\n    stats uri /s\n    stats hide-version\n"
    "    http-request use-service prometheus-exporter if { path /m }\n"
)


@pytest.mark.parametrize("mode", ["tcp", "http"])
@pytest.mark.parametrize("rule", ["default_backend", "use_backend"])
def test_clients_see_the_statistics_of_the_backend_that_they_go_to(mode: str, rule: str) -> None:
    front = STATS.replace("listen", "frontend").replace("http", mode)
    settings = settings_of(f"{front}    {rule} shown\n{BACKEND}")
    proxy = settings.proxies[0]
    http = http_of(proxy)
    assert (actions(http), proxy.default_backend) == ([Action.METRICS], None)
    assert (page_uri(http), http.metrics_path) == ("/s", "/m")
    assert http.page is not None
    assert http.page.hide_version
    assert settings.backends == ()


def test_a_rule_of_such_a_backend_is_refused_where_it_is_not_honoured() -> None:
    front = STATS.replace("listen", "frontend").replace("http", "tcp")
    text = f"{front}    default_backend shown\n{BACKEND}    http-request set-header X y\n"
    assert only_alert(text)[0] == 11


def test_rules_of_the_frontend_come_first_and_a_proxy_header_does_not_go_there() -> None:
    front = STATS.replace("listen", "frontend")
    http = http_in(f"{front}    default_backend shown\n    http-request allow if TRUE\n{BACKEND}")
    assert actions(http) == [Action.ALLOW, Action.METRICS]
    front = front.replace("http", "tcp").replace(":1", ":1 accept-proxy")
    _, text = only_alert(f"{front}    default_backend shown\n{BACKEND}")
    assert "the PROXY protocol is not supported" in text


@pytest.mark.parametrize(
    "rules",
    [
        "expect-proxy layer4",
        "expect-proxy layer4 if { src 127.0.0.1 }",
        "reject if { src 127.0.0.2 }\n    tcp-request connection expect-proxy layer4",
    ],
)
def test_no_proxy_header_is_passed_over_in_silence(rules: str) -> None:
    _, text = only_alert(f"{STATS}    stats enable\n    tcp-request connection {rules}\n")
    assert "the PROXY protocol is not supported" in text


@pytest.mark.parametrize("rule", ["use_backend other if { src 127.0.0.1 }", "use_backend %[src]"])
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_no_client_is_answered_that_a_rule_leads_elsewhere(rule: str, mode: str) -> None:
    front = STATS.replace("listen", "frontend").replace("http", mode)
    other = "backend other\n    mode tcp\n    server s 127.0.0.1:1\n"
    front = f"{front}    {rule}\n    default_backend shown\n"
    line, text = only_alert(f"{front}{BACKEND}{other}")
    assert line == front.count("\n") - 1
    assert text.startswith(f"'{rule}' is not supported in frontend 'stats'")


def test_limits_and_logs_of_a_statistics_section_are_named() -> None:
    text = f"{STATS}    stats enable\n    maxconn 10\n    rate-limit sessions 5\n    log 127.0.0.1 local0\n"
    outcome = load_text(text)
    assert said(outcome, Severity.NOTICE) == [
        (
            1,
            "'log', 'rate-limit sessions', 'maxconn' without effect in listen 'stats': "
            "it forwards nothing, and answers as its own lines say",
        )
    ]


def test_a_section_can_serve_its_health_alone() -> None:
    http = http_in(f"{STATS}    monitor-uri /alive\n")
    assert (http.monitor_uri, http.page, http.rulesets) == ("/alive", None, ())


def test_the_exporter_in_a_tcp_section_is_only_warned_of() -> None:
    outcome = load_text(f"{LISTEN}{METRICS}")
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].http is None
    assert len(said(outcome, Severity.WARNING)) == 1
