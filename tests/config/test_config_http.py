"""Mode http: what is warned of in TCP sections, what serves statistics, and what is refused."""

from __future__ import annotations

import pytest

from proxy.config.messages import Severity
from proxy.config.model import Service
from tests.support_config import LISTEN, listen_with, load_text, only_alert, said, settings_of

STATS = "listen stats\n    mode http\n    bind 127.0.0.1:1\n    timeout client 1s\n"
METRICS = "    http-request use-service prometheus-exporter if { path /metrics }\n"
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
        (f"{STATS}{METRICS}    http-request deny\n", 2),
        (f"{STATS}    stats enable\n    redirect location /x\n", 2),
        ("backend b\n    mode http\n    stats enable\n", 2),
        (f"{STATS}{METRICS}    default_backend b\nbackend b\n", 2),
    ],
)
def test_any_other_http_section_is_refused_where_the_mode_is_said(text: str, line: int) -> None:
    place, complaint = only_alert(text)
    assert (place, "mode http of" in complaint, "write 'mode tcp'" in complaint) == (
        *(line, True, True),
    )


@pytest.mark.parametrize("word", ["auth a:b", "scope x", "http-request auth"])
def test_lines_that_keep_people_out_are_not_skipped(word: str) -> None:
    assert "is not supported yet" in only_alert(f"{STATS}    stats enable\n    stats {word}\n")[1]


def test_the_exporter_in_a_tcp_section_is_only_warned_of() -> None:
    outcome = load_text(f"{LISTEN}{METRICS}")
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].service is None
    assert len(said(outcome, Severity.WARNING)) == 1
