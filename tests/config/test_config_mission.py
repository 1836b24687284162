"""The configurations that started the project, written out in tests/mission."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.loader import LoadResult, load
from proxy.config.model.settings import Balance, InitAddr
from proxy.server_table import ServerTable
from resolverd.config import Family, Holds
from tests.support.config.loading import resolve_from_table, said

MISSION = Path(__file__).parent.parent / "mission"


def load_mission(number: int, tmp_path: Path) -> LoadResult:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.7.0.53\nsearch flexhcs.rancher.internal\n")
    return load(
        [str(MISSION / f"{number}.cfg")],
        environ={},
        resolve_host=resolve_from_table,
        resolv_conf=str(resolv_conf),
    )


@pytest.mark.parametrize("number", range(1, 7))
def test_configurations_of_the_mission_load_without_an_alert(number: int, tmp_path: Path) -> None:
    outcome = load_mission(number, tmp_path)
    assert said(outcome) == []
    assert outcome.settings is not None
    assert outcome.settings.binds


def test_1_holds_and_timeouts_are_those_of_the_document(tmp_path: Path) -> None:
    settings = load_mission(1, tmp_path).settings
    assert settings is not None
    section = settings.resolverd.sections[0]
    assert section.holds == Holds(10_000, *[30_000] * 5)
    assert (section.resolve_retries, section.timeout_resolve_ms) == (3, 10_000)
    proxy = settings.proxies[0]
    assert (proxy.balance, proxy.timeouts.client_ms) == (Balance.SOURCE, 28_801_000)
    server = ServerTable(settings)[0]
    assert (server.fqdn, server.port) == ("desktop-server.flexhcs.rancher.internal", 443)


def test_1_without_the_address_of_its_nameserver_says_what_is_missing(tmp_path: Path) -> None:
    text = (MISSION / "1.cfg").read_text().replace("internal-dns 127.7.1.53:53", "internal-dns")
    path = tmp_path / "seed.cfg"
    path.write_text(text)
    line = text.split("\n").index("    nameserver internal-dns") + 1
    alerts = said(load([str(path)], environ={}))
    assert [
        (place, "'nameserver internal-dns' has no address" in words) for place, words in alerts
    ] == [(line, True)]


def test_2_asks_the_nameservers_of_resolv_conf_too(tmp_path: Path) -> None:
    settings = load_mission(2, tmp_path).settings
    assert settings is not None
    section = settings.resolverd.sections[0]
    assert [n.address for n in section.nameservers] == ["127.7.2.53", "127.7.2.54", "127.7.0.53"]
    assert section.accepted_payload_size == 512


def test_3_says_how_each_server_starts(tmp_path: Path) -> None:
    settings = load_mission(3, tmp_path).settings
    assert settings is not None
    libc, none = InitAddr.LIBC, InitAddr.NONE
    assert [server.init_addr[1:] for server in ServerTable(settings)] == [
        *[(libc, none)] * 4,
        (libc, "127.7.3.25"),
    ]


def test_4_accepts_ipv4_only(tmp_path: Path) -> None:
    settings = load_mission(4, tmp_path).settings
    assert settings is not None
    assert settings.resolverd.families == (Family.IPV4,)
    assert settings.resolverd.resolutions[0].preferred is Family.IPV4


def test_5_has_five_slots_that_share_one_name(tmp_path: Path) -> None:
    settings = load_mission(5, tmp_path).settings
    assert settings is not None
    assert [server.name for server in ServerTable(settings)] == [
        "web1",
        "web2",
        "web3",
        "web4",
        "web5",
    ]
    assert [len(r.servers) for r in settings.resolverd.resolutions] == [5]
    assert ServerTable(settings)[0].init_addr == (InitAddr.NONE,)


def test_6_has_five_slots_that_share_one_label_and_take_its_ports(tmp_path: Path) -> None:
    settings = load_mission(6, tmp_path).settings
    assert settings is not None
    label = "_myservice._tcp.example.local"
    assert [(s.name, s.srv_record, s.fqdn, s.port) for s in ServerTable(settings)] == [
        (f"web{number}", label, None, 0) for number in range(1, 6)
    ]
    (resolution,) = settings.resolverd.resolutions
    assert (resolution.name, resolution.is_service) == (label, True)
    assert [server.slot for server in resolution.servers] == [0, 1, 2, 3, 4]
