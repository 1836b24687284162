"""What HAProxy 2.6 takes though it looks wrong: taken alike, and named where it changes nothing."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from tests.support.config.loading import (
    LISTEN,
    listen_settings,
    listen_with,
    load_text,
    only_alert,
    said,
)

ENVIRONMENT = {"HOST": "127.0.0.9", "PORT": "5514", "SOCKET": "/tmp/x.sock", "NONE": ""}
BEHIND = "behind the time unit"
MAIL = listen_with("email-alert mailers m\n    email-alert to a@b\n    email-alert from a@b")


@pytest.mark.parametrize(
    "line",
    [
        *("timeout client 5sec", "timeout queue 5mins", "clitcpka-idle 5sec"),
        *("server s 127.0.0.2:80 inter 5sec", "server s 127.0.0.2:80 slowstart 1hour"),
        *("server s 127.0.0.2:80 tcp-ut 5sec", "server s 127.0.0.2:80 on-removed drain 5sec"),
    ],
)
def test_what_stands_behind_the_unit_of_a_time_is_warned_of(line: str) -> None:
    outcome = load_text(listen_with(line))
    assert outcome.settings is not None
    assert [place for place, text in said(outcome, Severity.WARNING) if BEHIND in text] == [7]


@pytest.mark.parametrize(
    "line", ["stats timeout 5sec", "hard-stop-after 5sec", "grace 5sec", "max-spread-checks 5sec"]
)
def test_times_of_the_global_section_are_read_alike(line: str) -> None:
    outcome = load_text(f"global\n    {line}\n{LISTEN}")
    assert outcome.settings is not None
    assert [place for place, text in said(outcome, Severity.WARNING) if BEHIND in text] == [2]


@pytest.mark.parametrize("time", ["0", "0s", "0us"])
def test_a_stats_socket_that_never_closes_is_refused(time: str) -> None:
    place, text = only_alert(f"global\n    stats timeout {time}\n{LISTEN}")
    assert (place, text) == (2, "'stats timeout' expects a positive value")


def endpoint(text: str) -> Endpoint:
    """The log address of one line with these words."""
    outcome = load_text(listen_with(f"log {text} local0"), ENVIRONMENT)
    assert outcome.settings is not None, outcome.messages
    log = outcome.settings.proxies[0].access_log
    assert log is not None
    found = log.targets[0].endpoint
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HOST}:${PORT}", Endpoint(SocketFamily.IPV4, "127.0.0.9", 5514)),
        ("$HOST:$PORT", Endpoint(SocketFamily.IPV4, "127.0.0.9", 5514)),
        ("${HOST}", Endpoint(SocketFamily.IPV4, "127.0.0.9", 514)),
        ("127.0.0.1:${PORT", Endpoint(SocketFamily.IPV4, "127.0.0.1", 5514)),
        ("${UNSET}127.0.0.1", Endpoint(SocketFamily.IPV4, "127.0.0.1", 514)),
        ("unix@${SOCKET}", Endpoint(SocketFamily.UNIX, "/tmp/x.sock")),
        ("$SOCKET", Endpoint(SocketFamily.UNIX, "/tmp/x.sock")),
    ],
)
def test_addresses_know_the_environment_without_quotes(text: str, expected: Endpoint) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        *("bind ${HOST}:${PORT}", "server s ${HOST}:${PORT}", "source ${HOST}"),
        *(
            "server s 127.0.0.2:80 check addr ${HOST}",
            "server s 127.0.0.2:80 source ${HOST}:${PORT}",
        ),
        *("server s 127.0.0.2:80 source 0.0.0.0 usesrc ${HOST}", "bind $HOST:1,$HOST:2"),
    ],
)
def test_every_address_of_a_section_does(line: str) -> None:
    outcome = load_text(listen_with(line), ENVIRONMENT)
    assert outcome.settings is not None, outcome.messages
    assert "127.0.0.9" in repr(outcome.settings.proxies[0])
    assert "$" not in repr(outcome.settings.proxies[0])


def test_so_do_stats_sockets_and_nameservers() -> None:
    text = "global\n    stats socket ${SOCKET}\nresolvers r\n    nameserver n ${HOST}:${PORT}\n"
    outcome = load_text(text + LISTEN, ENVIRONMENT)
    assert outcome.settings is not None, outcome.messages
    assert outcome.settings.globals.stats_sockets[0].endpoint.host == "/tmp/x.sock"
    assert outcome.settings.resolverd.sections[0].nameservers[0].address == "127.0.0.9"


@pytest.mark.parametrize("name", ["UNSET", "NONE"])
@pytest.mark.parametrize(
    "line",
    [
        "bind ${%s}",
        "server s ${%s}",
        "log ${%s} local0",
        "source $%s",
        "server s 127.0.0.2:80 addr ${%s}",
    ],
)
def test_an_address_of_which_nothing_is_left_says_why(line: str, name: str) -> None:
    outcome = load_text(listen_with(line % name), ENVIRONMENT)
    place, text = said(outcome)[0]
    assert place == 7
    assert f"leaves no address: environment variable '{name}' has no value" in text


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("bind ${NOPE}:80", ":80"),
        ('bind "${NOPE}:80"', ":80"),
        ('server s "$NOPE:80"', ":80"),
        ("server s 127.0.0.${NOPE}1:80", "127.0.0.1:80"),
        ('log "127.0.0.1$NOPE" local0', "127.0.0.1"),
    ],
)
def test_an_address_that_lacks_a_variable_is_warned_of(line: str, left: str) -> None:
    outcome = load_text(listen_with(line), ENVIRONMENT)
    warned = [text for place, text in said(outcome, Severity.WARNING) if place == 7]
    assert warned == [f"environment variable 'NOPE' is not set: of the address is left '{left}'"]


@pytest.mark.parametrize(
    "line",
    ['bind "${NOPE-127.0.0.1}:80"', 'server s 127.0.0.1:80 "$NOPE"', "server s$NOPE 127.0.0.1:80"],
)
def test_a_variable_with_a_default_or_elsewhere_is_no_warning(line: str) -> None:
    assert not [
        text
        for _, text in said(load_text(listen_with(line), ENVIRONMENT))
        if ("is not set" in text)
    ]


@pytest.mark.parametrize(
    ("words", "retries", "named"),
    [
        ("none", 0, ""),
        ("conn-failure", 3, ""),
        ("all-retryable-errors", 3, ""),
        ("conn-failure empty-response", 3, "empty-response"),
        ("503 junk-response", 0, "503 junk-response"),
    ],
)
def test_retry_on_says_whether_connects_are_tried_again(
    words: str, retries: int, named: str
) -> None:
    outcome = load_text(listen_with(f"retry-on {words}"))
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].retries == retries
    wanted = [(7, f"'retry-on {named}' has no effect here: it needs mode http")] if named else []
    assert said(outcome, Severity.NOTICE) == wanted


@pytest.mark.parametrize("words", ["", "zz", "none conn-failure", "200"])
def test_retry_on_knows_its_words(words: str) -> None:
    assert only_alert(listen_with(f"retry-on {words}"))[0] == 7


def test_observe_layer7_is_named_and_observes_nothing() -> None:
    outcome = load_text(listen_with("server s 127.0.0.2:80 check observe layer7"))
    assert outcome.settings is not None
    check = ServerTable(outcome.settings)[0].check
    assert check is not None
    assert check.error_limit == 0
    assert said(outcome, Severity.WARNING) == []
    assert said(outcome, Severity.NOTICE) == [
        (7, "'observe layer7' has no effect here: it needs mode http")
    ]


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("capture cookie x len 10", True),
        ("capture request header Host len 10", False),
        ("capture response header Host len 10", False),
    ],
)
def test_captures_are_warned_of_as_haproxy_does(line: str, warned: bool) -> None:
    outcome = load_text(listen_with(line))
    assert outcome.settings is not None
    assert [place for place, _ in said(outcome, Severity.WARNING)] == [7] * warned


def test_a_server_may_stick() -> None:
    assert listen_settings("server s 127.0.0.2:80 stick").servers[0].name == "s"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (listen_with("option independent-streams"), "count as its activity"),
        (f"mailers m\n    mailer x 127.0.0.1:25\n{MAIL}", "alert from the metrics"),
        (f"global\n    tune.ssl.cachesize 5\n{LISTEN}", "without opening it"),
        (f"global\n    tune.quic.later 5\n{LISTEN}", "QUIC is not TCP"),
        (f"global\n    tune.rcvbuf.client 5\n{LISTEN}", "the kernel sizes"),
        (f"global\n    thread-hard-limit 5\n{LISTEN}", "'nbthread' alone"),
        (listen_with("bind 127.0.0.1:2 level admin"), "give no commands"),
        (listen_with("bind 127.0.0.1:2 expose-fd listeners"), "line gives the sockets"),
        (f"global\n    stats socket ipv4@127.0.0.1:9 expose-fd listeners\n{LISTEN}", "only Unix"),
        (f"global\n    stats socket /tmp/x.sock maxconn 5\n{LISTEN}", "'maxconn' has no effect"),
        (f"global\n    stats socket /tmp/x.sock backlog 5\n{LISTEN}", "'backlog' has no effect"),
        (f"global\n    nogetaddrinfo\n{LISTEN}", "always found by getaddrinfo"),
        (f"global\n    noreuseport\n{LISTEN}", "SO_REUSEPORT"),
        (f"global\n    tune.later 1 2\n{LISTEN}", "'tune.later' (1 2)"),
    ],
)
def test_a_notice_says_what_is_not_done(text: str, wanted: str) -> None:
    [(_, notice)] = said(load_text(text), Severity.NOTICE)
    assert wanted in notice


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("mode health", ("'mode http'", "'http-request return status 200'")),
        ("mode htpt", ("tcp", "http")),
        ("option spop-check", ("remove it", "'tcp-check send-binary'")),
        ("server s 127.0.0.2:80 check check-proto h2", ("remove it", "'option httpchk'")),
        ("email-alert mailers m\nemail-alert to a@b\nemail-alert from a@b", ("mailers 'm'",)),
    ],
)
def test_what_is_refused_says_what_to_do(line: str, wanted: tuple[str, ...]) -> None:
    _, complaint = only_alert(listen_with(line))
    assert [word for word in wanted if word not in complaint] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mailers m more\n    mailer x 127.0.0.1:25\n" + MAIL, 1),
        ("global\n    grace 5s more\n" + LISTEN, 2),
        ("global\n    setenv A b more\n" + LISTEN, 2),
        (listen_with("balance roundrobin more"), 7),
        (listen_with("rate-limit sessions 10 more"), 7),
        (listen_with("option redispatch 1 more"), 7),
    ],
)
def test_a_surplus_word_is_named(text: str, line: int) -> None:
    outcome = load_text(text)
    assert outcome.settings is not None
    assert (line, True) in [
        (place, "surplus argument 'more' is ignored" in warning)
        for place, warning in said(outcome, Severity.WARNING)
    ]
