"""Mode http: what is warned of in TCP sections, what serves statistics, and what is refused."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Service
from proxy.config.text.messages import Severity
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
    warnings = said(outcome, Severity.WARNING)
    assert [place for place, _ in warnings if place] == [4, 10, 4, 10]
    assert "'option httplog' not usable with listen 'edge'" in warnings[0][1]
    assert "'option forwardfor' ignored for listen 'other'" in warnings[-1][1]


def test_a_section_with_the_exporter_serves_metrics() -> None:
    settings = settings_of(f"{STATS}{METRICS}    stats enable\n    stats uri /stats\n")
    proxy = settings.proxies[0]
    assert (proxy.service, proxy.stats_uri) == (Service.METRICS, "/stats")
    assert (proxy.frontend_index, proxy.backend_index, proxy.default_backend) == (0, None, None)
    assert len(settings.binds) == 1
    assert settings.backends == ()


def test_a_section_with_stats_serves_the_page() -> None:
    proxy = settings_of(f"{STATS}    stats enable\n").proxies[0]
    assert (proxy.service, proxy.stats_uri) == (Service.STATS, "/haproxy?stats")
    proxy = settings_of(f"{STATS}    stats uri /x\n    stats refresh 5s\n    stats realm a\\ b\n")
    assert proxy.proxies[0].stats_uri == "/x"


def test_addresses_are_shown_where_the_section_says_so() -> None:
    proxy = settings_of(f"{STATS}    stats enable\n").proxies[0]
    assert not proxy.stats_show_legends
    proxy = settings_of(f"{STATS}    stats show-legends\n").proxies[0]
    assert (proxy.service, proxy.stats_show_legends) == (Service.STATS, True)


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
    assert (place, "mode http of" in complaint, "write 'mode tcp'" in complaint) == (
        *(line, True, True),
    )


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        (f"{METRICS}    http-request deny\n", 6),
        ("    stats enable\n    redirect location /x\n", 6),
        (EXPORTER.format(" if { path /metrics } { src 10.0.0.0/8 }"), 5),
        (EXPORTER.format(" if { path /metrics } !{ src 10.0.0.0/8 }"), 5),
        (EXPORTER.format(" if { path /metrics } or { src 10.0.0.0/8 }"), 5),
        (EXPORTER.format(" if { path -i /metrics }"), 5),
        (EXPORTER.format(" if { path -f /etc/paths }"), 5),
        (EXPORTER.format(" if { path_beg /metrics }"), 5),
        (EXPORTER.format(" if !{ path /metrics }"), 5),
        (EXPORTER.format(" if { path }"), 5),
        (EXPORTER.format(" if { path /metrics"), 5),
        (EXPORTER.format(" if { path /metrics } or"), 5),
        (EXPORTER.format(" if"), 5),
        (EXPORTER.format(" if LOCAL"), 5),
        (EXPORTER.format(" unless { path /metrics }"), 5),
        (EXPORTER.format(" { path /metrics }"), 5),
        (f"{METRICS}    http-response set-header X y\n", 6),
        (f"    stats enable\n{EXPORTER.format(' if { path /x } { method GET }')}", 6),
    ],
)
def test_a_rule_that_is_not_honoured_in_whole_is_refused_where_it_stands(
    rest: str, line: int
) -> None:
    place, complaint = only_alert(STATS + rest)
    assert place == line
    assert rest.splitlines()[line - 5].strip() in complaint
    assert "is not supported yet in listen 'stats'" in complaint


@pytest.mark.parametrize(
    ("lines", "paths"),
    [
        (("",), ()),
        ((" if { path /prom }",), ("/prom",)),
        ((" if { path /a /b } || { path /c }",), ("/a", "/b", "/c")),
        ((" if { path /a } or { path /b }", " if { path /c }"), ("/a", "/b", "/c")),
        ((" if { path /a }", ""), ()),
        (("", " if { path /a }"), ()),
    ],
)
def test_metrics_are_on_the_paths_of_the_lines(
    lines: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    text = STATS + "".join(EXPORTER.format(line) for line in lines)
    assert settings_of(text).proxies[0].metrics_paths == paths


def test_a_page_alone_serves_no_metrics() -> None:
    assert settings_of(f"{STATS}    stats enable\n").proxies[0].metrics_paths is None


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_words_of_a_statistics_section_that_do_nothing_are_named(mode: str) -> None:
    words = "    errorfile 503 /x\n    option forwardfor\n    stats enable\n"
    outcome = load_text(STATS.replace("http", mode) + words)
    assert outcome.settings is not None
    named = [text for _, text in said(outcome, Severity.NOTICE) if "errorfile" in text]
    wanted = "'errorfile', 'option forwardfor' without effect in listen 'stats': it serves statistics only"
    assert named == ([wanted] if mode == "http" else [])


@pytest.mark.parametrize(
    ("line", "field"),
    [("hide-version", "stats_hide_version"), ("show-legends", "stats_show_legends")],
)
def test_what_the_page_shows_turns_it_on(line: str, field: str) -> None:
    proxy = settings_of(f"{STATS}    stats {line}\n").proxies[0]
    assert (proxy.stats_uri, getattr(proxy, field)) == ("/haproxy?stats", True)


@pytest.mark.parametrize(
    "line", ["realm x", "refresh 5s", "show-node", "show-desc d", "admin if A"]
)
def test_what_changes_nothing_on_the_page_is_named_and_turns_it_on(line: str) -> None:
    outcome = load_text(f"{STATS}    stats {line}\n")
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].stats_uri == "/haproxy?stats"
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
    assert (proxy.service, proxy.default_backend) == (Service.METRICS, None)
    assert (proxy.stats_uri, proxy.metrics_paths) == ("/s", ("/m",))
    assert proxy.stats_hide_version
    assert settings.backends == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("    http-request deny\n", 11),
        ("    http-request use-service prometheus-exporter if { src 10.0.0.0/8 }\n", 11),
    ],
)
def test_a_rule_of_such_a_backend_is_refused(text: str, line: int) -> None:
    front = STATS.replace("listen", "frontend").replace("http", "tcp")
    assert only_alert(f"{front}    default_backend shown\n{BACKEND}{text}")[0] == line


def test_a_frontend_with_rules_or_a_proxy_header_does_not_go_there() -> None:
    front = STATS.replace("listen", "frontend")
    place, _ = only_alert(f"{front}    default_backend shown\n    http-request deny\n{BACKEND}")
    assert place == 6
    front = front.replace("http", "tcp").replace(":1", ":1 accept-proxy")
    _, text = only_alert(f"{front}    default_backend shown\n{BACKEND}")
    assert "the PROXY protocol is not supported" in text


def test_limits_and_logs_of_a_statistics_section_are_named() -> None:
    text = f"{STATS}    stats enable\n    maxconn 10\n    rate-limit sessions 5\n    log 127.0.0.1 local0\n"
    outcome = load_text(text)
    assert said(outcome, Severity.NOTICE) == [
        (
            1,
            "'log', 'rate-limit sessions', 'maxconn' without effect in listen 'stats': "
            "it serves statistics only",
        )
    ]


def test_a_section_can_serve_its_health_alone() -> None:
    proxy = settings_of(f"{STATS}    monitor-uri /alive\n").proxies[0]
    assert (proxy.service, proxy.monitor_uri) == (Service.HEALTH, "/alive")
    assert (proxy.stats_uri, proxy.metrics_paths) == (None, None)


@pytest.mark.parametrize("word", ["auth a:b", "scope x", "http-request auth"])
def test_lines_that_keep_people_out_are_not_skipped(word: str) -> None:
    assert "is not supported yet" in only_alert(f"{STATS}    stats enable\n    stats {word}\n")[1]


def test_the_exporter_in_a_tcp_section_is_only_warned_of() -> None:
    outcome = load_text(f"{LISTEN}{METRICS}")
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].service is None
    assert len(said(outcome, Severity.WARNING)) == 1
