"""Words that say where a server's address comes from, and what resolverd is told of them."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import InitAddr, InitState, Server
from proxy.server_table import ServerTable
from resolverd.config import Family, ResolutionSettings, ResolvedServer
from tests.support.config.loading import (
    LISTEN,
    listen_with,
    only_alert,
    server_settings,
    settings_of,
)

RESOLVERS = (
    "resolvers r\n    nameserver n 127.0.0.1:53\nresolvers q\n    nameserver n 127.0.0.1:54\n"
)
LABEL = "_web._tcp.app.test"


def resolutions_of(*lines: str, header: str = "") -> tuple[ResolutionSettings, ...]:
    text = header + RESOLVERS + LISTEN + "".join(f"    {line}\n" for line in lines)
    return settings_of(text).resolverd.resolutions


def resolved(options: str, defaults: str = "") -> ResolvedServer:
    """What resolverd is told of one server `app.test`."""
    header = f"defaults\n    default-server {defaults}\n" if defaults else ""
    (row,) = resolutions_of(f"server s app.test:80 resolvers r {options}", header=header)
    return row.servers[0]


@pytest.mark.parametrize(
    ("written", "port"), [(LABEL, 0), (f"{LABEL}:80", 80), (f"{LABEL}:+80", 0)]
)
def test_an_srv_label_is_no_host_and_needs_no_port(written: str, port: int) -> None:
    server = server_settings("check resolvers r", written)
    assert (server.srv_record, server.fqdn, server.address) == (LABEL, None, None)
    assert (server.port, server.port_relative, server.resolution_index) == (port, False, 0)
    assert server.init_addr == (InitAddr.LAST, InitAddr.LIBC, InitAddr.NONE)


def test_the_label_stands_as_written_and_is_asked_for_in_lower_case() -> None:
    text = f"{RESOLVERS}{LISTEN}    server s _Web._TCP.App.test. resolvers r\n"
    settings = settings_of(text)
    assert ServerTable(settings)[0].srv_record == "_Web._TCP.App.test."
    assert settings.resolverd.resolutions[0].name == LABEL


def test_a_label_without_resolvers_is_refused_unless_something_else_gives_an_address() -> None:
    place, text = only_alert(listen_with(f"server s {LABEL} init-addr last,libc"))
    assert (place, "no method found to resolve SRV name" in text) == (7, True)
    assert server_settings("init-addr none", LABEL).resolution_index is None
    assert server_settings("init-addr libc,127.0.0.7", LABEL).init_addr[1] == "127.0.0.7"


def test_one_row_feeds_all_servers_of_a_label_whatever_they_prefer() -> None:
    rows = resolutions_of(
        f"server a {LABEL} resolvers r resolve-prefer ipv4",
        f"server b {LABEL.upper()}. resolvers r",
        f"server c {LABEL} resolvers q",
        f"server-template d 2 {LABEL} resolvers r resolve-prefer ipv6",
    )
    assert [(row.index, row.section, row.name, row.preferred) for row in rows] == [
        (0, "r", LABEL, Family.IPV6),
        (1, "q", LABEL, Family.IPV6),
    ]
    assert [(server.server_name, server.preferred) for server in rows[0].servers] == [
        ("a", Family.IPV4),
        ("b", Family.IPV6),
        ("d1", Family.IPV6),
        ("d2", Family.IPV6),
    ]


def test_merged_and_plain_names_are_two_rows() -> None:
    rows = resolutions_of(
        "server a app.test:80 resolvers r resolve-opts all-families",
        "server b app.test:80 resolvers r",
        "server-template c 2 app.test:80 resolvers r resolve-opts allow-dup-ip,all-families",
        f"server d {LABEL} resolvers r resolve-opts all-families",
        f"server e {LABEL} resolvers r",
        header="global\n    dns-accept-family ipv4,ipv6\n",
    )
    told = [
        (
            row.name,
            row.all_families,
            [(each.server_name, each.all_families) for each in row.servers],
        )
        for row in rows
    ]
    assert told == [
        ("app.test", True, [("a", True), ("c1", True), ("c2", True)]),
        ("app.test", False, [("b", False)]),
        (LABEL, False, [("d", True), ("e", False)]),
    ], "of a label its targets are merged, which are no rows"


def test_where_one_family_is_accepted_no_name_is_merged() -> None:
    (row,) = resolutions_of(
        "server a app.test:80 resolvers r resolve-opts all-families",
        "server b app.test:80 resolvers r resolve-prefer ipv4",
        header="global\n    dns-accept-family ipv6\n",
    )
    assert (row.all_families, len(row.servers)) == (False, 2)


def test_targets_of_a_label_have_the_only_family_that_is_accepted() -> None:
    header = "global\n    dns-accept-family ipv4\n"
    (row,) = resolutions_of(f"server a {LABEL} resolvers r resolve-prefer ipv6", header=header)
    assert (row.preferred, row.servers[0].preferred) == (Family.IPV4, Family.IPV4)


@pytest.mark.parametrize(
    ("written", "networks"),
    [
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("10.1.2.3/08,fd00::1/8", ("10.0.0.0/8", "fd00::/8")),
        ("10.0.0.0/255.255.0.0,", ("10.0.0.0/16",)),
        ("10.0.0.7,::7", ("10.0.0.7/32", "::7/128")),
        ("0.0.0.0/0", ("0.0.0.0/0",)),
    ],
)
def test_networks_are_told_with_their_prefix_length(written: str, networks: tuple[str]) -> None:
    assert resolved(f"resolve-net {written}").networks == networks


def test_networks_and_options_add_to_those_of_default_server() -> None:
    server = resolved(
        "resolve-net 10.3.0.0/16 resolve-opts ignore-weight",
        "resolve-net 10.1.0.0/16,10.2.0.0/16 resolve-opts allow-dup-ip resolve-prefer ipv4",
    )
    assert server.networks == ("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
    assert (server.allow_dup_ip, server.ignore_weight) == (True, True)
    assert not resolved("resolve-opts prevent-dup-ip", "resolve-opts allow-dup-ip").allow_dup_ip
    server = resolved("resolve-opts rfc-weight", "resolve-opts srv-priority")
    assert (server.srv_priority, server.rfc_weight) == (True, True)
    assert resolved("resolve-opts all-families").all_families
    assert not resolved("").srv_priority
    assert not resolved("").rfc_weight


def test_nothing_said_means_no_duplicates_no_networks_and_weights_of_the_records() -> None:
    wanted = ResolvedServer(0, 0, "edge", "s", 80, 7, checked=True, backend_kind="proxy")
    assert resolved("weight 7 check") == wanted


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("resolve-net 10.0.0.0/255.0.255.0", "invalid network '10.0.0.0/255.0.255.0'"),
        (
            "resolve-net 1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8,5.0.0.0/8,6.0.0.0/8",
            "exceed 5 networks",
        ),
        ("resolve-opts allow-dup-ips", "did you mean 'allow-dup-ip' maybe ?"),
        ("resolve-opts srv-prio", "supported methods are 'allow-dup-ip', 'prevent-dup-ip', "),
        ("resolve-opts srv-prio", "did you mean 'srv-priority'"),
        ("resolve-prefer any", "expects either ipv4 or ipv6 as argument"),
        ("init-addr 127.0.0.1:80", "unknown init-addr method '127.0.0.1:80'"),
        ("init-addr 0.0.0.0", "the client's own destination"),
        ("init-state maybe", "knows up, down, fully-up, fully-down"),
        ("init-state", "expects up, down, fully-up or fully-down"),
        ("on-marked-down restart", "expects 'shutdown-sessions' but got 'restart'"),
        ("on-marked-up restart", "expects 'shutdown-backup-sessions' but got 'restart'"),
        ("on-marked-up", "expects 'shutdown-backup-sessions' but got ''"),
        ("on-removed", "expects 'keep', 'drain <time>' or 'shutdown', not ''"),
        ("on-removed close check", "expects 'keep', 'drain <time>' or 'shutdown', not 'close'"),
        ("on-removed drain", "'drain' without a time"),
        ("on-removed drain check", "'check' is not a time"),
        ("on-removed drain 0", "must be greater than 0: 'shutdown' is at once"),
        ("on-removed drain 2147483648", "is too long"),
    ],
)
def test_what_cannot_work_says_what_is_wrong(options: str, complaint: str) -> None:
    place, text = only_alert(listen_with(f"server s 127.0.0.2:80 {options}"))
    assert (place, complaint in text) == (7, True), text


@pytest.mark.parametrize(
    ("written", "methods"),
    [
        ("none", ("none",)),
        ("libc,none,last", ("libc", "none", "last")),
        (",last,,none,none,", ("last", "none")),
        ("none,127.0.0.7,last", ("none", "127.0.0.7", "last")),
        ("[::7]", ("::7",)),
        ('""', ("last", "libc")),
    ],
)
def test_init_addr_keeps_its_order(written: str, methods: tuple[str, ...]) -> None:
    assert server_settings(f"init-addr {written}", "app.test:80").init_addr == methods


def labels(*lengths: int) -> str:
    return ".".join("a" * length for length in lengths)


@pytest.mark.parametrize("name", [labels(63), labels(63, 63, 63, 61), f"{labels(63, 63, 63, 61)}."])
def test_labels_have_63_characters_and_names_255_bytes(name: str) -> None:
    assert server_settings("resolvers r", f"{name}:80").fqdn == name.removesuffix(".")
    longer = name.replace("a", "aa", 1) if name.count(".") == 0 else name.rstrip(".") + "a"
    assert only_alert(listen_with(f"server s {longer}:80"))[0] == 7


@pytest.mark.parametrize("state", list(InitState))
def test_the_first_state_and_the_end_of_sessions_are_words_of_the_line(state: InitState) -> None:
    server = server_settings(f"init-state {state.value} on-marked-down shutdown-sessions")
    assert (server.init_state, server.stopping.when_down) == (state, True)
    plain: Server = server_settings("")
    assert (plain.init_state, plain.stopping.when_down) == (InitState.UP, False)


def test_a_template_may_begin_at_zero() -> None:
    text = f"{LISTEN}    server-template w 0-2 127.0.0.2:80\n"
    assert [server.name for server in ServerTable(settings_of(text))] == ["w0", "w1", "w2"]


@pytest.mark.parametrize(
    ("written", "drain_ms"),
    [
        ("", None),
        ("on-removed keep", None),
        ("on-removed shutdown", 0),
        ("on-removed drain 1ms", 1),
        ("on-removed drain 2147483647", 2_147_483_647),
        ("on-removed shutdown on-removed drain 30s check", 30_000),
    ],
)
def test_on_removed_says_how_long_sessions_of_a_lost_address_may_last(
    written: str, drain_ms: int | None
) -> None:
    server = server_settings(f"{written} weight 7", "app.test:80")
    assert server.stopping.removed_drain_ms == drain_ms
    assert server_settings(f"{written} weight 7").balancing.weight == 7


def test_on_removed_of_default_server_holds_for_templates_and_can_be_taken_back() -> None:
    lines = ("server-template t 2 app.test:80 resolvers r", "server s 127.0.0.2:80 on-removed keep")
    header = "defaults\n    default-server on-removed drain 5s\n"
    text = f"{header}{RESOLVERS}{LISTEN}" + "".join(f"    {line}\n" for line in lines)
    found = [server.stopping.removed_drain_ms for server in ServerTable(settings_of(text))]
    assert found == [5_000, 5_000, None]
