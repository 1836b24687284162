"""Server lines: addresses, options at their limits, templates, defaults and numbers."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import (
    LOCAL_PLACE,
    Agent,
    Balancing,
    Check,
    Connecting,
    Endpoint,
    InitAddr,
    OnError,
    ProxyHeader,
    SocketFamily,
    Source,
)
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from tests.support.config.loading import (
    LISTEN,
    listen_with,
    load_text,
    only_alert,
    said,
    server_settings,
    settings_of,
)


def alert_of(line: str) -> str:
    place, text = only_alert(listen_with(line))
    assert place == 7
    return text


@pytest.mark.parametrize(
    ("written", "host", "address", "port", "relative"),
    [
        ("127.0.0.2:80", "127.0.0.2", "127.0.0.2", 80, False),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2", 0, True),
        ("127.0.0.2:", "127.0.0.2", "127.0.0.2", 0, True),
        ("127.0.0.2:0", "127.0.0.2", "127.0.0.2", 0, True),
        ("127.0.0.2:+10", "127.0.0.2", "127.0.0.2", 10, True),
        ("127.0.0.2:-10", "127.0.0.2", "127.0.0.2", -10, True),
        ("127.0.0.2:65535", "127.0.0.2", "127.0.0.2", 65535, False),
        ("[::1]:80", "::1", "::1", 80, False),
        ("[::1]", "::1", "::1", 0, True),
        ("::1:80", "::1", "::1", 80, False),
        ("ipv4@127.0.0.2:80", "127.0.0.2", "127.0.0.2", 80, False),
        ("tcp@127.0.0.2:80", "127.0.0.2", "127.0.0.2", 80, False),
        ("App.Test.:80", "App.Test.", None, 80, False),
    ],
)
def test_an_address_may_be_written_in_many_ways(
    written: str, host: str, address: str | None, port: int, relative: bool
) -> None:
    server = server_settings("", written)
    assert (server.host, server.address, server.port, server.port_relative) == (
        *(host, address, port, relative),
    )
    assert server.fqdn == (None if address else "app.test")


def test_nothing_said_means_the_defaults_of_the_manual() -> None:
    server = server_settings("")
    assert (server.balancing, server.check, server.disabled) == (Balancing(1), None, False)
    assert (server.slot, server.backend_index, server.id, server.name) == (0, 0, 1, "s")
    assert server_settings("check").check == Check(2_000, None, None, 2, 3, None, None, None)


def test_every_option_arrives_in_the_settings() -> None:
    server = server_settings(
        "check inter 3s fastinter 500 downinter 1m rise 4 fall 5 port 8080 addr 127.0.0.9 "
        "weight 256 backup disabled id 77"
    )
    assert server.check == Check(3_000, 500, 60_000, 4, 5, 8080, "127.0.0.9", None)
    assert server.balancing == Balancing(256, backup=True)
    assert (server.disabled, server.id) == (True, 77)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("weight 0", "weight -1"),
        ("slowstart 30s", "slowstart x"),
        ("weight 256", "weight 257"),
        ("rise 1", "rise 0"),
        ("rise 32767", "rise 32768"),  # of what a record holds
        ("fall 32767", "fall 32768"),
        ("inter 1", "inter 0"),
        ("inter 1us", "inter 25d"),
        ("port 65535", "port 65536"),
        ("id 1", "id 0"),
        ("addr ::1", "addr nosuch.test"),
        ("init-addr last,libc,none,127.0.0.1", "init-addr 127.0.0.1,127.0.0.2"),
        ("init-addr none,none", "init-addr non"),
        ("resolve-prefer ipv4", "resolve-prefer ipv5"),
        ("check no-check backup no-backup", "check no-checks"),
    ],
)
def test_options_are_accepted_up_to_their_limit(good: str, bad: str) -> None:
    server_settings(good)
    assert alert_of(f"server s 127.0.0.2:80 {bad}").startswith("'server edge/s' : ")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("a" * 63 + ".test", "a" * 64 + ".test"),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abcd"),
        ("a_b-c.d.test", "a!b.test"),
        ("a.test.", "a..test"),
        ("A.test", ".test"),
    ],
)
def test_host_names_are_accepted_up_to_the_limits_of_dns(good: str, bad: str) -> None:
    server_settings("resolvers r", f"{good}:80")
    alert_of(f"server s {bad}:80")


@pytest.mark.parametrize(
    ("options", "methods"),
    [
        ("", (InitAddr.LAST, InitAddr.LIBC)),
        ("resolvers r", (InitAddr.LAST, InitAddr.LIBC, InitAddr.NONE)),
        ("resolvers r init-addr last,libc", (InitAddr.LAST, InitAddr.LIBC)),
        ("init-addr libc,127.0.0.5,none", (InitAddr.LIBC, "127.0.0.5", InitAddr.NONE)),
        ("init-addr ::1", ("::1",)),
    ],
)
def test_methods_of_init_addr_run_in_the_order_of_the_file(
    options: str, methods: tuple[str, ...]
) -> None:
    assert server_settings(options, "app.test:80").init_addr == methods


@pytest.mark.parametrize(
    ("options", "limit", "on_error"),
    [
        ("check observe layer4", 10, OnError.FAIL_CHECK),
        ("check observe layer4 error-limit 2 on-error sudden-death", 2, OnError.SUDDEN_DEATH),
        ("check observe layer4 observe none on-error mark-down", 0, OnError.MARK_DOWN),
        ("check error-limit 5 on-error fastinter", 0, OnError.FASTINTER),
    ],
)
def test_what_sessions_errors_count(options: str, limit: int, on_error: OnError) -> None:
    check = server_settings(options).check
    assert check is not None
    assert (check.error_limit, check.on_error) == (limit, on_error)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("unix@/run/x.sock", Endpoint(SocketFamily.UNIX, "/run/x.sock")),
        ("/run/x.sock", Endpoint(SocketFamily.UNIX, "/run/x.sock")),
        ("abns@name", Endpoint(SocketFamily.ABSTRACT, "name")),
    ],
)
def test_a_server_may_be_on_a_unix_socket(address: str, local: Endpoint) -> None:
    server = server_settings("check", address)
    assert (server.local, server.host, server.port) == (local, address, 0)
    assert (server.address, server.fqdn, server.srv_record) == (LOCAL_PLACE, None, None)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("server t 127.0.0.1:1 track x/s", "unable to find required proxy 'x' for tracking"),
        (
            "server t 127.0.0.1:1 track edg/s",
            "required proxy 'edg' for tracking; did you mean 'edge' maybe ?",
        ),
        ("server t 127.0.0.1:1 track edge/nope", "unable to find required server 'edge/nope'"),
        ("server t 127.0.0.1:1 track s", "does not have any check nor agent enabled"),
        ("server t 127.0.0.1:1 check track s", "checks and tracking at the same time"),
        (
            "server t 127.0.0.1:1 agent-check agent-port 1 track s",
            "does not have any check nor agent enabled",
        ),
        (
            "server t 127.0.0.1:1 check agent-check agent-port 1 track s",
            "checks and tracking at the same time",
        ),
        ("server t 127.0.0.1:1 track t", "unable to track edge/t as it belongs to a tracking"),
    ],
)
def test_what_cannot_be_tracked(lines: str, complaint: str) -> None:
    place, text = only_alert(f"{LISTEN}    server s 127.0.0.1:2\n    {lines}\n")
    assert place == 8
    assert complaint in text


def test_a_tracking_loop_is_one_error_that_says_where_it_returns() -> None:
    lines = "    server a 127.0.0.1:2 track b\n    server b 127.0.0.1:2 track edge/a\n"
    assert said(load_text(LISTEN + lines)) == [
        (
            8,
            "'server edge/b' : unable to track edge/a as it belongs to a tracking chain looping "
            "back to edge/b.",
        )
    ]


def test_a_tracking_server_knows_the_slot_of_the_other() -> None:
    lines = (
        "    server a 127.0.0.1:2 track o/s\n    server b 127.0.0.1:2 track a\n"
        "backend o\n    timeout connect 1s\n    timeout server 1s\n    server s 127.0.0.1:3 check\n"
    )
    servers = ServerTable(settings_of("global\n    spare-servers 5\n" + LISTEN + lines))
    assert [(server.track, server.tracked_slot) for server in servers] == [
        *(("o/s", 7), ("edge/a", 0), (None, None)),
    ]


@pytest.mark.parametrize(
    ("options", "agent"),
    [
        ("agent-port 7", None),
        ("agent-check agent-port 7 no-agent-check", None),
        ("agent-check agent-port 7", Agent(7, None, 2_000)),
        ("agent-check agent-port 7 inter 3s", Agent(7, None, 3_000)),
        ("agent-check agent-port 7 agent-inter 1s inter 3s", Agent(7, None, 1_000)),
        ("agent-check agent-port 7 addr 127.0.0.9", Agent(7, "127.0.0.9", 2_000)),
        ("agent-check agent-port 7 agent-addr localhost addr ::1", Agent(7, "127.0.0.1", 2_000)),
        (r'agent-check agent-port 7 agent-send "a\n\x41\q"', Agent(7, None, 2_000, b"a\nA\\q")),
    ],
)
def test_an_agent_has_what_its_words_say(options: str, agent: Agent | None) -> None:
    server = server_settings(options)
    assert server.agent == agent
    assert (server.check, server.watched) == (None, agent is not None)


def test_default_servers_have_agents_and_lines_take_them_back() -> None:
    lines = (
        "    default-server agent-check agent-port 7 agent-inter 1s\n"
        "    server a 127.0.0.1:2\n    server b 127.0.0.1:2 no-agent-check\n"
        "    server c 127.0.0.1:2 agent-port 8\n"
    )
    servers = ServerTable(settings_of(LISTEN + lines))
    assert [server.agent and server.agent.port for server in servers] == [7, None, 8]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("agent-check", "has no agent port: write 'agent-port <port>'"),
        ("agent-check agent-port 0", "has no agent port"),
        ("agent-check agent-port 7 agent-inter 0", "'agent-inter' must be greater than 0"),
        ("agent-port 65536", "agent-port"),
        ("agent-port x", "agent-port"),
        ("agent-addr nosuch.test", "cannot resolve host name 'nosuch.test'"),
        ("agent-addr 127.0.0.1:9", "'agent-addr' takes no port: write 'agent-port 9'"),
        ("agent-addr /run/x", "'agent-addr' expects an IP address"),
        ('agent-send ""', "'agent-send' expects a string"),
    ],
)
def test_an_agent_that_cannot_be(options: str, complaint: str) -> None:
    place, text = only_alert(f"{LISTEN}    server s 127.0.0.1:2 {options}\n")
    assert place == 7
    assert complaint in text


def test_where_connections_come_from_arrives_in_the_settings() -> None:
    server = server_settings("source 127.0.0.3:10-12 interface lo tcp-ut 5s tfo check")
    source = Source("127.0.0.3", 10, 3, interface="lo")
    assert server.connecting == Connecting(ProxyHeader.NONE, 5_000, True, source)
    assert server.check is not None
    client = server_settings("source 0.0.0.0 usesrc client tfo no-tfo")
    assert client.connecting.source == Source(from_client=True, from_client_port=True)
    assert not client.connecting.fast_open
    foreign = server_settings("source ::1 usesrc 192.0.2.1:99")
    assert foreign.connecting.source == Source("192.0.2.1", 99, 1, foreign=True)


def test_a_name_without_resolvers_is_not_resolved_while_running() -> None:
    server = server_settings("", "app.test:80")
    assert (server.fqdn, server.resolvers, server.resolution_index) == ("app.test", None, None)
    numeric = server_settings("resolvers r")
    assert (numeric.resolvers, numeric.resolution_index) == (
        "r",
        None,
    )  # an operator may give it a name


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("server s", "expects a name and <address>[:<port>]"),
        ("server s@ 127.0.0.1:80", "character '@' is not permitted in server name"),
        ("server s 127.0.0.1:80 chek", "unknown keyword 'chek'; did you mean 'check' maybe ?"),
        ("server s 127.0.0.1:80 weight", "'weight' expects a number"),
        ("server s 127.0.0.1:80 check port", "'port' expects a number"),
        ("server s 127.0.0.1:80-90", "port range not permitted"),
        ("server s 127.0.0.1:http", "invalid port 'http'"),
        ("server s 127.0.0.1:65536", "invalid port '65536'"),
        ("server s [::1:80", "brackets do not match"),
        ("server s fd@3", "a file descriptor is not acceptable here in 'fd@3'"),
        ("server s unix@", "names no socket"),
        ("server s udp@127.0.0.1:53", "UDP"),
        ("server s foo@127.0.0.1:53", "unknown prefix 'foo@'"),
        ("server s ipv6@127.0.0.1:53", "is no IPV6 address"),
        ("server s 127.0.0.1 check", "has neither service port nor check port"),
        ("server s 127.0.0.1:+1 check", "has neither service port nor check port"),
        ("server s a.test:80 resolvers nosuch", "unable to find required resolvers 'nosuch'"),
        ("server s 127.0.0.1:80 maxconn -1", "'maxconn' must be between 0"),
        ("server s 127.0.0.1:80 maxqueue x", "'maxqueue'"),
        ("server s 127.0.0.1:80 ssl verify none", "'ssl' is not supported: Millrace forwards TCP"),
        ("server s 127.0.0.1:80 observe", "'observe' expects <mode> as argument"),
        ("server s 127.0.0.1:80 observe layer5", "one of 'none', 'layer4' but got 'layer5'"),
        ("server s 127.0.0.1:80 error-limit 0", "'error-limit' must be between 1"),
        ("server s 127.0.0.1:80 on-error die", "'mark-down' but got 'die'"),
        ("server s 127.0.0.1:80 tcp-ut", "missing TCP User Timeout value"),
        ("server s 127.0.0.1:80 source", "'source' expects <addr>"),
        ("server s 127.0.0.1:80 source ::1 usesrc nowhere", "expects a numeric IP address"),
        ("server s 127.0.0.1:80 source ::1:9-8", "invalid port range '9-8'"),
        ("server s 127.0.0.1:80 redir /x", "is not supported"),
        ("server s _http._tcp.a.test", "no method found to resolve SRV name '_http._tcp.a.test'"),
        ("default-server", "expects the options"),
        ("default-server id 5", "'id' fits one server only"),
        ("default-server 127.0.0.1:80", "unknown keyword '127.0.0.1:80'"),
        ("server-template w 5", "expects a prefix, a number or range"),
        ("server-template w 0 127.0.0.1:80", "range arg '0'"),
        ("server-template w 3-2 127.0.0.1:80", "range arg '3-2'"),
        ("server-template w x 127.0.0.1:80", "range arg 'x'"),
        ("server-template w 100001 127.0.0.1:80", "range arg '100001'"),
        ("server s [fe80::1%lo]:80", "server address '[fe80::1%lo]:80' names an interface"),
    ],
)
def test_what_cannot_work_says_what_is_wrong(line: str, complaint: str) -> None:
    assert complaint in alert_of(line)


@pytest.mark.parametrize(("port", "works"), [("check port 8080", True), ("check", False)])
def test_a_check_needs_a_port(port: str, works: bool) -> None:
    outcome = load_text(listen_with(f"server s 127.0.0.2 {port}"))
    assert (outcome.settings is not None) is works


def test_a_template_makes_servers_that_share_one_resolution() -> None:
    text = (
        f"resolvers r\n    nameserver n 127.0.0.1\n{LISTEN}"
        "    server-template web 3 app.test:80 resolvers r id 5\n"
        "    server-template old 7-8 127.0.0.2:80\n"
    )
    settings = settings_of(text)
    assert [(s.name, s.slot, s.id) for s in ServerTable(settings)] == [
        *(("web1", 0, 5), ("web2", 1, 2), ("web3", 2, 3), ("old7", 3, 4), ("old8", 4, 6)),
    ]
    assert len(settings.resolverd.resolutions) == 1
    assert [s.slot for s in settings.resolverd.resolutions[0].servers] == [0, 1, 2]


def test_default_server_reaches_the_lines_after_it_only() -> None:
    text = (
        "defaults\n    default-server weight 3 check\n    timeout check 7s\n"
        f"{LISTEN}    server a 127.0.0.2:80\n    default-server no-check inter 5s\n"
        "    server b 127.0.0.2:81\n    server c 127.0.0.2:82 check weight 9\n"
    )
    a, b, c = ServerTable(settings_of(text))
    assert (a.balancing.weight, a.check) == (3, Check(timeout_check_ms=7_000))
    assert (b.balancing.weight, b.check) == (3, None)
    assert (c.balancing.weight, c.check) == (9, Check(inter_ms=5_000, timeout_check_ms=7_000))


def test_names_and_numbers_are_unique_within_a_backend() -> None:
    twice = f"{LISTEN}    server a 127.0.0.2:80\n    server a 127.0.0.3:80\n"
    assert only_alert(twice)[0] == 8
    ids = f"{LISTEN}    server a 127.0.0.2:80 id 3\n    server b 127.0.0.3:80 id 3\n"
    assert only_alert(ids)[0] == 8
    template = f"{LISTEN}    server a2 127.0.0.2:80\n    server-template a 3 127.0.0.3:80\n"
    assert "another server named 'a2'" in only_alert(template)[1]


def test_numbers_are_given_as_haproxy_gives_them() -> None:
    text = (
        "global\n    spare-servers 0\n"
        "defaults\n    timeout client 1s\n    timeout connect 1s\n    timeout server 1s\n"
        "frontend f\n    bind 127.0.0.1:1\n"
        "listen a\n    bind 127.0.0.1:2\n    server x 127.0.0.2:80\n"
        "    server y 127.0.0.2:81 id 1\n    server z 127.0.0.2:82\n"
        "backend f\n    server x 127.0.0.2:80 id 7\n    server-template t 2 127.0.0.2:80 id 9\n"
        "    server z 127.0.0.2:80\n"
        "backend q\n    id 3\n    server x 127.0.0.2:80\n"
    )
    settings = settings_of(text)
    assert [(p.name, p.id) for p in settings.proxies] == [("f", 2), ("a", 4), ("f", 5), ("q", 3)]
    assert [s.id for s in ServerTable(settings)] == [2, 1, 4, 7, 9, 3, 4, 1]
    assert [s.slot for s in ServerTable(settings)] == list(range(8))
    assert [s.backend_index for s in ServerTable(settings)] == [0, 0, 0, 1, 1, 1, 1, 2]


def test_a_cookie_on_a_server_is_only_warned_of() -> None:
    outcome = load_text(listen_with("server s 127.0.0.2:80 cookie x"))
    assert outcome.settings is not None
    assert [place for place, _ in said(outcome, Severity.WARNING)] == [7]
