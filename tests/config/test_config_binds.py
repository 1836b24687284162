"""Bind lines: addresses, ranges, options and what cannot listen."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Bind, Endpoint, SocketFamily
from proxy.config.text.messages import Severity
from tests.support.config.loading import load_text, only_alert, said, settings_of

V4, V6 = SocketFamily.IPV4, SocketFamily.IPV6


def binds_of(*lines: str) -> tuple[Bind, ...]:
    text = "frontend f\n    timeout client 1s\n" + "".join(f"    bind {line}\n" for line in lines)
    return settings_of(text).binds


@pytest.mark.parametrize(
    ("written", "endpoints"),
    [
        ("127.0.0.1:80", [Endpoint(V4, "127.0.0.1", 80)]),
        (":80", [Endpoint(V4, "0.0.0.0", 80)]),
        ("*:80", [Endpoint(V4, "0.0.0.0", 80)]),
        ("ipv4@:80", [Endpoint(V4, "0.0.0.0", 80)]),
        (":::80", [Endpoint(V6, "::", 80)]),
        ("[::]:80", [Endpoint(V6, "::", 80)]),
        ("ipv6@:80", [Endpoint(V6, "::", 80)]),
        ("::1:80", [Endpoint(V6, "::1", 80)]),
        ("localhost:80", [Endpoint(V4, "127.0.0.1", 80)]),
        (":80-82", [Endpoint(V4, "0.0.0.0", port) for port in (80, 81, 82)]),
        (":80,:::80", [Endpoint(V4, "0.0.0.0", 80), Endpoint(V6, "::", 80)]),
        (":80,", [Endpoint(V4, "0.0.0.0", 80)]),
        ("/run/x.sock", [Endpoint(SocketFamily.UNIX, "/run/x.sock")]),
        ("unix@x.sock", [Endpoint(SocketFamily.UNIX, "x.sock")]),
        ("abns@name", [Endpoint(SocketFamily.ABSTRACT, "name")]),
        ('"fd@${FD-9}"', [Endpoint(SocketFamily.DESCRIPTOR, "9")]),
    ],
)
def test_an_address_may_be_written_in_many_ways(written: str, endpoints: list[Endpoint]) -> None:
    assert [bind.endpoint for bind in binds_of(written)] == endpoints


def test_every_option_arrives_in_the_settings() -> None:
    bind, unix = binds_of(
        "[::]:80 name web id 9 backlog 100 maxconn 0 v6only",
        "/run/x.sock mode 660 user root group root",
    )
    assert (bind.name, bind.id, bind.backlog, bind.maxconn) == ("web", 9, 100, 0)
    assert (bind.v6only, bind.v4v6, bind.origin.line) == (True, False, 3)
    assert (unix.unix_mode, unix.unix_user, unix.unix_group) == (0o660, 0, 0)
    assert unix.id == 2


def test_every_option_of_a_socket_arrives_in_the_settings() -> None:
    (bind,) = binds_of(":80 interface lo mss -65535 tcp-ut 3s tfo defer-accept transparent")
    assert (bind.interface, bind.mss, bind.user_timeout_ms) == ("lo", -65_535, 3_000)
    assert (bind.fast_open, bind.defer_accept, bind.transparent) == (True, True, True)


def test_unix_bind_counts_for_the_lines_after_it() -> None:
    text = (
        "global\n    stats socket /a.sock\n    unix-bind prefix /run/ mode 660 uid 7\n"
        "    unix-bind group root user root\n    stats socket /b.sock mode 600\n"
        "frontend f\n    timeout client 1s\n    bind x.sock,unix@x.sock,abns@x\n"
        "    bind unix@y.sock gid 9\n"
    ).replace("x.sock,unix", "unix@v.sock,unix")
    settings = settings_of(text)
    first, second = settings.globals.stats_sockets
    assert (first.mode, second.mode, second.endpoint.host) == (None, 0o600, "/b.sock")
    v, x, abstract, y = settings.binds
    assert [bind.endpoint.host for bind in (v, x, y)] == [
        *("/run/v.sock", "/run/x.sock", "/run/y.sock"),
    ]
    assert abstract.endpoint.host == "x"
    assert (x.unix_mode, x.unix_user, x.unix_group, y.unix_group) == (0o660, 0, 0, 9)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("owner root", "only supports the options prefix, mode"),
        ("prefix", "'prefix' expects a path"),
        ("mode 999", "expects an octal mode"),
        ("user no-such-user-x", "no such user"),
        ("uid -1", "'uid' must be between 0"),
        (f"prefix /{'p' * 100}/\nfrontend f\n timeout client 1s\n bind unix@x.sock", "too long"),
    ],
)
def test_unix_bind_says_what_it_cannot_take(words: str, complaint: str) -> None:
    assert complaint in only_alert(f"global\n    unix-bind {words}\n")[1]


def test_indices_count_over_all_frontends_and_numbers_within_one() -> None:
    text = (
        "defaults\n    timeout client 1s\nfrontend a\n    bind :1-2 id 1\n    bind :3\n"
        "frontend b\n    bind :4\n"
    )
    assert [(b.index, b.frontend_index, b.id) for b in settings_of(text).binds] == [
        *((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("127.0.0.1:80 maxconn -1", "'maxconn' must be between 0"),
        ("", "expects [<address>]:<port>"),
        ("127.0.0.1", "missing port in '127.0.0.1'"),
        ("127.0.0.1:0", "invalid port range '0'"),
        (":7-5", "invalid port range '7-5'"),
        (":65536", "invalid port '65536'"),
        (":1-65536", "invalid port '65536'"),
        (":http", "invalid port 'http'"),
        ("nowhere.test:80", "cannot resolve host name 'nowhere.test'"),
        ("fd@x", "descriptor of 'fd@x'"),
        ("unix@", "names no socket"),
        ("udp@:80", "UDP"),
        ("quic4@:80", "not supported"),
        (":80 foo", "'bind :80' : unknown keyword 'foo'"),
        (":80 name", "'name' expects a name"),
        (":80 id 0", "'id' must be between 1"),
        (":80 ssl crt x.pem", "'ssl' is not supported"),
        (":80 expect-proxy layer4", "unknown keyword 'expect-proxy'"),
        (":80 interface", "missing interface name"),
        (":80 interface an-interface-xyz", "at most 15 bytes"),
        (":80 mss 0", "absolute value between 1 and 65535"),
        (":80 mss -65536", "must be between -65535 and 65535"),
        (":80 tcp-ut", "missing TCP User Timeout value"),
        (":80 tcp-ut 1x", "unknown time unit"),
        (":80 v4v6 v6only", "exclude each other"),
        ("/x mode 888", "expects an octal mode"),
        ("/x user no-such-user-x", "no such user"),
        (":80 id 3\n    bind :81 id 3", "id 3 of 'bind' is taken"),
    ],
)
def test_what_cannot_listen_says_why(line: str, complaint: str) -> None:
    assert complaint in only_alert(f"frontend f\n    timeout client 1s\n    bind {line}\n")[1]


def test_all_ports_of_a_host_are_more_sockets_than_there_may_be() -> None:
    assert len(binds_of(":1-8192")) == 8_192
    text = "frontend f\n    timeout client 1s\n    bind :1-8193\n"
    assert "8193 bind addresses are too many" in only_alert(text)[1]


def test_options_that_place_threads_get_a_notice() -> None:
    outcome = load_text(
        "frontend f\n    timeout client 1s\n    bind :80 nice 5 process 1 thread 2\n"
    )
    assert len(said(outcome, Severity.NOTICE)) == 3
    assert outcome.settings is not None
