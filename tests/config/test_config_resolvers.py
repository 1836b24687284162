"""The resolvers section at its limits, and what resolverd is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolversSection,
    Transport,
    TtlPeriod,
)
from tests.support.config.loading import LISTEN, load_text, only_alert, said, settings_of

ONE = "resolvers r\n    nameserver n 127.0.0.1:53\n"


def section_of(*lines: str, resolv_conf: str = "/nonexistent") -> ResolversSection:
    text = ONE + "".join(f"    {line}\n" for line in lines)
    return settings_of(text, resolv_conf=resolv_conf).resolverd.sections[0]


def alert_of(line: str) -> str:
    place, text = only_alert(f"{ONE}    {line}\n")
    assert place == 3
    return text


def test_defaults_are_those_of_the_manual() -> None:
    section = section_of()
    assert section == ResolversSection("r", (Nameserver("n", "127.0.0.1", 53),))
    assert section.holds == Holds(10_000, 0, 30_000, 30_000, 30_000, 30_000)
    assert (section.accepted_payload_size, section.resolve_retries) == (512, 3)
    assert (section.timeout_resolve_ms, section.timeout_retry_ms) == (1_000, 1_000)


def test_every_word_arrives_in_the_settings() -> None:
    section = section_of(
        *("accepted_payload_size 8192", "resolve_retries 5", "timeout resolve 2s"),
        *("timeout retry 300", "hold valid 1s", "hold obsolete 2s", "hold nx 3s"),
        *("hold refused 4s", "hold timeout 5s", "hold other 6s"),
    )
    assert section.holds == Holds(1_000, 2_000, 3_000, 4_000, 5_000, 6_000)
    assert (section.accepted_payload_size, section.resolve_retries) == (8192, 5)
    assert (section.timeout_resolve_ms, section.timeout_retry_ms) == (2_000, 300)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("accepted_payload_size 12", "accepted_payload_size 11"),
        ("accepted_payload_size 65535", "accepted_payload_size 65536"),
        ("resolve_retries 1", "resolve_retries 0"),
        ("resolve_retries 1000", "resolve_retries 1001"),
        ("timeout resolve 1", "timeout resolve 0"),
        ("timeout retry 24d", "timeout retry 25d"),
        ("hold nx 0", "hold nx -1"),
        ("nameserver a 127.0.0.1:1", "nameserver a 127.0.0.1:0"),
        ("nameserver a 127.0.0.1:65535", "nameserver a 127.0.0.1:65536"),
    ],
)
def test_values_are_accepted_up_to_their_limit(good: str, bad: str) -> None:
    section_of(good)
    alert_of(bad)


@pytest.mark.parametrize(
    ("written", "address", "port"),
    [
        ("127.0.0.2:5353", "127.0.0.2", 5353),
        ("127.0.0.2", "127.0.0.2", 53),
        ("udp@127.0.0.2:54", "127.0.0.2", 54),
        ("ipv4@127.0.0.2", "127.0.0.2", 53),
        ("udp6@::1:54", "::1", 54),
        ("tcp@127.0.0.2:54", "127.0.0.2", 54),
        ("tcp4@127.0.0.2", "127.0.0.2", 53),
        ("tcp@[::1]:54", "::1", 54),
        ("tcp6@[::1]", "::1", 53),
        ("tcp@localhost:54", "127.0.0.1", 54),
        ('"tcp@${NS-127.0.0.3}:54"', "127.0.0.3", 54),
        ("[::1]", "::1", 53),
        ("[::1]:54", "::1", 54),
        ("::1:54", "::1", 54),
        ("fd00::53", "fd00::53", 53),
        ("::1", "::1", 53),
        ("localhost", "127.0.0.1", 53),
        ("localhost:54", "127.0.0.1", 54),
        ('"${NS-127.0.0.3}:54"', "127.0.0.3", 54),
    ],
)
def test_a_nameserver_may_be_written_in_many_ways(written: str, address: str, port: int) -> None:
    found = section_of(f"nameserver a {written}").nameservers[1]
    assert (found.name, found.address, found.port, found.index) == ("a", address, port, 1)
    assert found.transport is (Transport.TCP if "tcp" in written else Transport.UDP)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nameserver internal-dns", "'nameserver internal-dns' has no address"),
        ("nameserver", "expects a name and an address"),
        ("nameserver n 127.0.0.2:53", "nameserver 'n' has same name as another nameserver"),
        ("nameserver a nowhere.test", "cannot resolve host name 'nowhere.test'"),
        ("nameserver a /tmp/x", "expects an IP address or a host name"),
        ("nameserver a *:53", "expects an IP address or a host name"),
        ("nameserver a tcp@127.0.0.1:53 x", "unexpected argument 'x'"),
        ("nameserver a@ 127.0.0.1", "character '@' is not permitted"),
        ("timeout retry ttl", "'timeout retry' follows no ttl: give a time"),
        ("timeout resolve ttl min", "'timeout resolve ttl min' expects a time"),
        ("timeout resolve ttl min 0", "must be greater than 0"),
        ("timeout resolve ttl min 3s max 2s", "a min (3000 ms) above its max (2000 ms)"),
        ("timeout resolve ttl min 1s min 2s", "not 'min'"),
        ("timeout resolve ttl 5s", "not '5s'"),
        ("timeout resolv 1s", "did you mean 'resolve' maybe ?"),
        ("timeout", "'resolve' or 'retry'"),
        ("hold nxdomain 1s", "unknown hold 'nxdomain' (known: "),
        ("hold nx", "expects a time"),
        ("parse-resolv-conf", "cannot read"),
        ("nameservr a 127.0.0.1", "did you mean 'nameserver' maybe ?"),
    ],
)
def test_what_cannot_work_says_what_is_wrong(line: str, complaint: str) -> None:
    assert complaint in alert_of(line)


def test_nameservers_of_resolv_conf_are_named_by_their_address(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nsearch a.test\nnameserver 127.0.0.7\nnameserver ::1\nnameserver bad\n"
        "nameserver 127.0.0.7\nnameserver\noptions ndots:2\n"
    )
    found = section_of("parse-resolv-conf", resolv_conf=str(path)).nameservers
    assert [(n.name, n.address, n.port, n.index) for n in found] == [
        ("n", "127.0.0.1", 53, 0),
        ("127.0.0.7", "127.0.0.7", 53, 1),
        ("::1", "::1", 53, 2),
    ]


def test_what_is_skipped_of_resolv_conf_is_warned_of_in_haproxys_words(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nnameserver 10.0.0.1\nnameserver bogus\nnameserver\nnameserver 10.0.0.300\n"
        "search a.example b..c\noptions timeout:3\nunknown x\n"
    )
    outcome = load_text("resolvers r\n    parse-resolv-conf\n", resolv_conf=str(path))
    warned = [text for line, text in said(outcome, Severity.WARNING) if line == 2]
    assert warned == [
        f"parsing [{path}:3] : address 'bogus' could not be recognized, nameserver will be "
        "excluded.",
        f"parsing [{path}:4] : nameserver line is missing address.",
        f"parsing [{path}:5] : address '10.0.0.300' could not be recognized, nameserver will be "
        "excluded.",
        f"parsing [{path}:6] : 'b..c' is no domain, it will be excluded.",
    ]


def test_the_default_section_is_made_from_resolv_conf_for_those_who_name_it(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.7\n")
    text = f"{LISTEN}    server s app.test:80 resolvers default\n"
    settings = settings_of(text, resolv_conf=str(path))
    assert settings.resolverd.sections[0].name == "default"
    assert settings.resolverd.sections[0].nameservers[0].address == "127.0.0.7"
    assert settings_of(LISTEN).resolverd.sections == ()


def test_the_pool_size_of_old_files_gets_a_notice() -> None:
    outcome = load_text(f"{ONE}    resolution_pool_size 64\n")
    assert [place for place, _ in said(outcome, Severity.NOTICE)] == [3]
    assert outcome.settings is not None


def test_a_section_without_nameserver_is_warned_of_and_two_of_one_name_are_refused() -> None:
    assert "has no nameserver" in said(load_text("resolvers r\n"), Severity.WARNING)[0][1]
    assert "has same name as another resolvers" in only_alert(f"{ONE}resolvers r\n")[1]


def test_nameservers_are_counted_over_all_sections() -> None:
    text = f"{ONE}    nameserver m 127.0.0.2\nresolvers q\n    nameserver n 127.0.0.3\n"
    sections = settings_of(text).resolverd.sections
    assert [[n.index for n in section.nameservers] for section in sections] == [[0, 1], [2]]


def test_one_resolution_serves_all_servers_of_one_section_name_and_family() -> None:
    text = (
        f"{ONE}resolvers q\n    nameserver n 127.0.0.3\n{LISTEN}"
        "    server a APP.test.:80 resolvers r check weight 7\n"
        "    server plain 127.0.0.9:80\n"
        "    server b app.test:81 resolvers r\n"
        "    server c app.test:80 resolvers r resolve-prefer ipv4\n"
        "    server d app.test:80 resolvers q\n"
        "    server libc localhost:80\n"
    )
    settings = settings_of(text)
    first = ResolutionSettings(
        0,
        "r",
        "app.test",
        Family.IPV6,
        (
            ResolvedServer(0, 0, "edge", "a", 80, 7, checked=True, backend_kind="proxy"),
            ResolvedServer(2, 0, "edge", "b", 81, 1, backend_kind="proxy"),
        ),
    )
    assert settings.resolverd.resolutions[0] == first
    assert [(r.index, r.section, r.name, r.preferred) for r in settings.resolverd.resolutions] == [
        (0, "r", "app.test", Family.IPV6),
        (1, "r", "app.test", Family.IPV4),
        (2, "q", "app.test", Family.IPV6),
    ]
    assert [server.resolution_index for server in ServerTable(settings)] == [0, None, 0, 1, 2, None]


def test_a_single_accepted_family_wins_over_the_preference() -> None:
    text = (
        f"global\n    dns-accept-family ipv4\n{ONE}{LISTEN}"
        "    server a app.test:80 resolvers r\n"
        "    server b app.test:80 resolvers r resolve-prefer ipv4\n"
    )
    assert [r.preferred for r in settings_of(text).resolverd.resolutions] == [Family.IPV4]


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        ("", (1_000, 60_000)),
        ("min 5s", (5_000, 60_000)),
        ("max 10m min 30s", (30_000, 600_000)),
        ("max 500ms", (500, 500)),
        ("min 2m", (120_000, 120_000)),
        ("min 3s max 3s", (3_000, 3_000)),
    ],
)
def test_the_period_may_follow_ttls_within_bounds(words: str, bounds: tuple[int, int]) -> None:
    section = section_of(f"timeout resolve ttl {words}")
    assert section.ttl_period == TtlPeriod(*bounds)
    assert section_of("timeout resolve ttl", "timeout resolve 5s").ttl_period is None
