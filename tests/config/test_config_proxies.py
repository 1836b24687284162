"""Defaults, frontend, backend and listen sections: words, sides, inheritance, references."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Balance, Timeouts
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from tests.support.config.loading import (
    LISTEN,
    listen_settings,
    listen_with,
    load_text,
    only_alert,
    said,
    settings_of,
)


def alert_of(line: str) -> str:
    place, text = only_alert(listen_with(line))
    assert place == 7
    return text


def warnings_of(text: str) -> list[tuple[int, str]]:
    return said(load_text(text), Severity.WARNING)


def test_every_timeout_arrives_in_the_settings() -> None:
    text = (
        "listen x\n    bind 127.0.0.1:1\n    timeout client 28801s\n    timeout server 2s\n"
        "    timeout connect 3s\n    timeout tunnel 4s\n    timeout client-fin 5s\n"
        "    timeout server-fin 6s\n    timeout check 7s\n    timeout queue 8s\n"
    )
    assert settings_of(text).proxies[0].timeouts == Timeouts(
        *(28_801_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000)
    )


def test_a_timeout_of_0_is_none() -> None:
    text = "listen x\n    bind 127.0.0.1:1\n    timeout client 0\n"
    assert settings_of(text).proxies[0].timeouts.client_ms is None


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("balance source", "balance", Balance.SOURCE),
        ("balance leastconn", "balance", Balance.LEASTCONN),
        ("balance", "balance", Balance.ROUNDROBIN),
        ("balance static-rr", "balance", Balance.STATIC_RR),
        ("balance first", "balance", Balance.FIRST),
        ("balance random", "balance", Balance.RANDOM),
        ("balance random", "random_draws", 2),
        ("balance random()", "random_draws", 2),
        ("balance random(256)", "random_draws", 256),
        ("balance hdr(host)", "balance", Balance.ROUNDROBIN),
        ("hash-type consistent", "hash_consistent", True),
        ("hash-type consistent", "hash_avalanche", True),
        ("hash-type consistent wt6", "hash_avalanche", False),
        ("hash-type consistent wt6 avalanche", "hash_avalanche", True),
        ("hash-type map-based", "hash_consistent", False),
        ("hash-type map-based crc32", "hash_avalanche", False),
        ("hash-type map-based none avalanche", "hash_avalanche", True),
        ("hash-balance-factor 150", "hash_balance_factor", 150),
        ("hash-balance-factor 0", "hash_balance_factor", 0),
        ("maxconn 50", "maxconn", 50),
        ("backlog 100", "backlog", 100),
        ("retries 0", "retries", 0),
        ("option redispatch", "redispatch", -1),
        ("option redispatch 2", "redispatch", 2),
        ("option redispatch -3", "redispatch", -3),
        ("no option redispatch", "redispatch", 0),
        ("option splice-auto", "splice", True),
        ("no option splice-response", "splice", False),
        ("default option splice-auto", "splice", True),
        ("option allbackups", "allbackups", True),
        ("option clitcpka", "client_keepalive", True),
        ("option srvtcpka", "server_keepalive", True),
        ("description two words", "description", "two words"),
        ("id 77", "id", 77),
        ("hash-type map-based", "balance", Balance.ROUNDROBIN),
        ("option contstats", "retries", 3),
    ],
)
def test_a_word_sets_its_field(line: str, field: str, value: object) -> None:
    assert getattr(listen_settings(line), field) == value


def test_tcpka_is_both_sides() -> None:
    proxy = listen_settings("option tcpka")
    assert (proxy.client_keepalive, proxy.server_keepalive) == (True, True)


def test_nosplice_in_global_turns_splicing_off_everywhere() -> None:
    assert settings_of(f"{LISTEN}global\n    nosplice\n").proxies[0].splice is False


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("balance rondrobin", "did you mean 'roundrobin' maybe ?"),
        ("balance first(2)", "unknown balance algorithm 'first(2)'"),
        ("balance static_rr", "did you mean 'static-rr' maybe ?"),
        ("balance random(0)", "number of draws must be at least 1"),
        ("balance random(257)", "at most 256 draws"),
        ("balance random(99999999999999999999)", "at most 256 draws"),
        ("balance random(-1)", "unexpected character '-' after argument"),
        ("balance random(2", "missing closing parenthesis"),
        ("balance random(2)x", "unexpected character 'x' after argument"),
        ("hash-type", "only supports 'consistent' and 'map-based'"),
        ("hash-type consistant", "did you mean 'consistent' maybe ?"),
        ("hash-type map-based sdbn", "did you mean 'sdbm' maybe ?"),
        ("hash-type consistent avalanche", "hash functions"),
        ("hash-type consistent sdbm avalance", "did you mean 'avalanche' maybe ?"),
        ("hash-balance-factor", "'hash-balance-factor' expects a number"),
        ("hash-balance-factor 100", "must be 0 or greater than 100"),
        ("hash-balance-factor 10001", "must be between 0 and 10000"),
        ("mode", "expects tcp"),
        ("mode udp", "unknown proxy mode 'udp'"),
        ("maxconn x", "'maxconn' expects a whole number, not 'x'"),
        ("maxconn", "'maxconn' expects a number"),
        ("retries -1", "'retries' must be between 0"),
        ("id 0", "'id' must be between 1"),
        ("timeout client", "'timeout client' expects a time"),
        ("timeout client 1x", "'timeout client' : unknown time unit 'x'"),
        ("timeout client 3s 4s", "unexpected argument '4s'"),
        ("timeout clint 3s", "did you mean 'client' maybe ?"),
        ("timeout clitimeout 3s", "use 'timeout client'"),
        ("option", "expects the name of an option"),
        ("option redispach", "did you mean 'redispatch' maybe ?"),
        ("option redispatch x", "'option redispatch' expects a whole number"),
        ("option tcp-check x", "unexpected argument 'x'"),
        ("option forceclose", "does not exist any more"),
        ("no timeout client 3s", "'no' cannot stand before 'timeout'"),
        ("no", "'no' expects the word"),
        ("use_backend", "'use_backend' expects a backend name."),
        ("use_backend %[foo] if x", "failed to parse use_backend rule '%[foo]' : fetch method"),
        ("use_backend b foo", "unexpected keyword 'foo' after switching rule"),
        ("use_backend %Tt", "'%Tt' is not supported in a rule of connections"),
        ("use_backend %[res.len]", "not available in a rule of connections"),
        ("use_backend %[req.len", "missing ']' after"),
        ("use_backend edge", "use_backend of listen 'edge' is itself"),
        ("use_backend nosuch", "unable to find the use_backend 'nosuch'"),
        ("tcp-request session set-var(sess.x) path", "not available in a rule of connections"),
        ("clitcpka-cnt a", "expects a whole number"),
        ("clitcpka-cnt 128", "must be between 0 and 127"),
        ("clitcpka-idle", "expects an integer value"),
        ("srvtcpka-idle 32768", "at most 32767 seconds"),
        ("srvtcpka-intvl -1", "is not a time"),
        ("source", "'source' expects <addr>"),
        ("source 127.0.0.1:80-90", "port range not permitted here"),
        ("source unix@/x", "expects a numeric IP address"),
        ("source 127.0.0.1 from x", "only supports 'usesrc' and 'interface'"),
        ("source 127.0.0.1 usesrc", "'usesrc' expects <addr>[:<port>], 'client' or 'clientip'"),
        ("source 127.0.0.1 interface", "missing interface name"),
        ("rate-limit connections 3", "'rate-limit' only supports 'sessions' (got 'connections')"),
        ("rate-limit sessions", "'rate-limit sessions' expects a number of sessions a second"),
        ("rate-limit sessions -1", "'rate-limit sessions' : must be between 0 and"),
        ("fullconn -1", "'fullconn' must be between 0"),
        ("compression algo gzip", "is not supported"),
        ("filter trace", "is not supported"),
        ("reqadd X:y", "does not exist any more"),
        ("clitimeout 5000", "use 'timeout client'"),
        ("default_backend", "expects the name of a backend"),
        ("default_backend nosuch", "unable to find the default_backend 'nosuch'"),
        ("default_backend edge", "is itself"),
        ("disabled x", "unexpected argument 'x'"),
        ("description", "expects a text"),
        ("log nowhere.test local0", "cannot resolve"),
        ("blance source", "unknown keyword 'blance' in 'listen' section; did you mean 'balance'"),
    ],
)
def test_what_cannot_work_says_what_to_do(line: str, complaint: str) -> None:
    assert complaint in alert_of(line)


@pytest.mark.parametrize(
    "line",
    [
        *("option tcp-smart-accept", "option tcp-smart-connect"),
        "bind-process 1",
    ],
)
def test_what_has_no_effect_gets_one_notice(line: str) -> None:
    outcome = load_text(listen_with(line))
    assert outcome.settings is not None
    assert [place for place, _ in said(outcome, Severity.NOTICE)] == [7]
    assert said(outcome, Severity.WARNING) == []


def test_a_section_starts_with_the_last_defaults_or_those_it_names() -> None:
    text = (
        "defaults\n    timeout client 1s\n    retries 5\n    balance source\n"
        "defaults named\n    timeout client 2s\n    option redispatch\n"
        "defaults child from named\n    retries 7\n"
        "frontend a from named\n    bind 127.0.0.1:1\n"
        "frontend b from child\n    bind 127.0.0.1:2\n    timeout client 9s\n"
        "frontend c\n    bind 127.0.0.1:3\n"
    )
    a, b, c = settings_of(f"global\n    spare-backends 0\n{text}").proxies
    assert (a.timeouts.client_ms, a.retries, a.redispatch, a.balance) == (
        *(2_000, 3, -1, Balance.ROUNDROBIN),
    )
    assert (b.timeouts.client_ms, b.retries, b.redispatch) == (9_000, 7, -1)
    assert (c.timeouts.client_ms, c.retries) == (2_000, 7)


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("frontend f from nosuch\n", 1, "unknown defaults section 'nosuch'"),
        ("frontend f from\n", 1, "'from' expects the name"),
        ("defaults x\ndefaults x\nfrontend f from x\n", 3, "several defaults sections"),
        ("frontend\n", 1, "frontend name is empty"),
        ("frontend a b\n", 1, "write addresses on 'bind' lines"),
        ("backend a!\n", 1, "character '!' is not permitted in backend name"),
        ("defaults\n    bind :1\n", 2, "'bind' not allowed in 'defaults' section"),
        ("defaults\n    server s 127.0.0.1:1\n", 2, "not allowed in 'defaults' section"),
        ("frontend f\n    server s 127.0.0.1:1\n", 2, "has no backend capability"),
        ("backend a\nbackend a\n", 2, "has the same name as backend 'a'"),
        ("listen a\nfrontend a\n", 2, "has the same name as listen 'a'"),
        ("backend a\n    id 5\nbackend b\n    id 5\n", 4, "id 5 of backend 'b' is taken"),
        ("foo\n", 1, "unknown keyword 'foo' out of section"),
        ("global x\n", 1, "unexpected argument 'x'"),
    ],
)
def test_sections_that_cannot_work_are_named(text: str, line: int, complaint: str) -> None:
    place, found = only_alert(text)
    assert (place, complaint in found) == (line, True), found


def test_all_errors_are_found_not_only_the_first() -> None:
    text = (
        "global\n    maxcon 5\n    daemon\ndefaults\n    timeout clint 5s\nlisten x\n"
        '    bind 127.0.0.1:1 ssl\n    server s "127.0.0.1\n    server t nosuch:1 resolvers r\n'
    )
    assert [line for line, _ in said(load_text(text))] == [2, 5, 7, 8, 9]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("backend b\n    bind :1\n", 2, "'bind' ignored because backend 'b' has no frontend"),
        ("frontend f\n    balance source\n", 2, "'balance' ignored because frontend 'f'"),
        ("backend b\n    timeout client 1s\n", 2, "'timeout client' will be ignored"),
        ("frontend f\n    timeout server 1s\n", 2, "'timeout server' will be ignored"),
        ("frontend f\n    timeout client 1s\n", 0, "frontend 'f' has no 'bind' directive"),
        ("listen f\n    server s 127.0.0.1:1\n", 0, "listen 'f' has no 'bind' directive"),
        (f"{LISTEN}    timeout client 2s\n", 7, "overwriting 'timeout client'"),
        ("frontend f\n    bind :1\n", 0, "missing timeouts for frontend 'f'"),
        ("backend b\n    server s 127.0.0.1:1\n", 0, "missing timeouts for backend 'b'"),
    ],
)
def test_what_haproxy_warns_of_is_warned_of(text: str, line: int, complaint: str) -> None:
    found = warnings_of(text)
    assert any(place == line and complaint in words for place, words in found), found


def test_numbers_that_the_file_gives_are_known_from_counted_ones() -> None:
    times = "    timeout client 1s\n    timeout connect 1s\n    timeout server 1s\n"
    settings = settings_of(
        f"defaults\n{times}listen l\n    id 77\n    bind 127.0.0.1:2\n"
        "    server s 127.0.0.2:2 id 9\n    server t 127.0.0.2:3\n"
        "listen m\n    bind 127.0.0.1:3\n"
    )
    assert [(p.id, p.id_given) for p in settings.proxies] == [(77, True), (3, False)]
    assert [(s.id, s.id_given) for s in ServerTable(settings)] == [(9, True), (2, False)]


def test_use_backend_without_condition_comes_before_the_default() -> None:
    text = (
        "defaults\n    timeout client 1s\n    timeout connect 1s\n    timeout server 1s\n"
        "backend a\n    server s 127.0.0.2:1\nbackend b\n    server s 127.0.0.2:2\n"
        "frontend f\n    bind 127.0.0.1:1\n    default_backend a\n    use_backend b\n"
        "    use_backend a\n"
        "listen l\n    bind 127.0.0.1:2\n    use_backend a\n"
    )
    settings = settings_of(text)
    assert [p.default_backend for p in settings.frontends] == [1, 0]


def test_use_backend_in_a_backend_is_ignored_with_a_warning() -> None:
    outcome = load_text("backend b\n    use_backend c\n    server s 127.0.0.1:1\n")
    assert "'use_backend' ignored because" in outcome.messages[0].text


def test_frontends_and_backends_are_numbered_in_the_order_of_the_file() -> None:
    text = (
        "global\n    spare-servers 0\n"
        "defaults\n    timeout client 1s\n    timeout connect 1s\n    timeout server 1s\n"
        "backend b\n    server s 127.0.0.2:1\n"
        "frontend f\n    bind 127.0.0.1:1\n    default_backend l\n"
        "listen l\n    bind 127.0.0.1:2\n    server s 127.0.0.2:2\n"
        "frontend g\n    bind 127.0.0.1:3\n    default_backend off\n"
        "backend off\n    disabled\n    server s 127.0.0.2:3\n"
        "listen m\n    bind 127.0.0.1:4\n    default_backend b\n    server unused 127.0.0.2:4\n"
    )
    settings = settings_of(text)
    assert [
        (p.name, p.kind, p.frontend_index, p.backend_index, p.default_backend)
        for p in settings.proxies
    ] == [
        ("b", "backend", None, 0, None),
        ("f", "frontend", 0, None, 1),
        ("l", "listen", 1, 1, 1),
        ("g", "frontend", 2, None, None),
        ("off", "backend", None, None, None),
        ("m", "listen", 3, 2, 0),
    ]
    assert [p.name for p in settings.frontends] == ["f", "l", "g", "m"]
    assert [(s.slot, s.backend_index) for s in ServerTable(settings)] == [(0, 0), (1, 1), (2, 2)]


def test_a_disabled_section_neither_listens_nor_serves_nor_is_checked() -> None:
    text = listen_with("disabled\n    server s nosuch.test resolvers nosuch check\n    mode http")
    settings = settings_of(text)
    assert (settings.binds, len(ServerTable(settings)), settings.proxies[0].disabled) == (
        (),
        0,
        True,
    )


def test_resolvers_may_follow_their_users() -> None:
    text = f"{LISTEN}    server s a.test:80 resolvers r\nresolvers r\n    nameserver n 127.0.0.1\n"
    assert ServerTable(settings_of(text))[0].resolution_index == 0
