"""The settings of a simulated resolverd, drawn from a seed."""

from __future__ import annotations

import random

import msgspec

from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
    TtlPeriod,
)
from tests.support.simulation.zone import DOMAINS, LABEL

NETWORKS = ((), (), (), ("127.1.0.0/30", "::1:0/127"))
TTL_PERIODS = (None, None, TtlPeriod(1_000, 3_000), TtlPeriod(2_000, 2_000))


def make_servers(
    chance: random.Random, backend: int, first_slot: int, port: int, *, merges: bool
) -> list[ResolvedServer]:
    """One to three servers of one backend, all with the same words."""
    plain = ResolvedServer(
        first_slot, backend, f"be{backend}", "s", port, 1,
        allow_dup_ip=chance.random() < 0.2,
        ignore_weight=chance.random() < 0.2,
        srv_priority=chance.random() < 0.5,
        rfc_weight=chance.random() < 0.2,
        all_families=merges,
        networks=chance.choice(NETWORKS),
        preferred=chance.choice((Family.NONE, Family.NONE, Family.IPV4, Family.IPV6)),
    )  # fmt: skip
    return [
        msgspec.structs.replace(plain, slot=first_slot + number, server_name=f"s{number}")
        for number in range(chance.randrange(1, 4))
    ]


def make_settings(chance: random.Random, nameservers: tuple[str, ...]) -> ResolverdSettings:
    """One section, two hosts, a label, and sometimes a short name that is searched."""
    choose = chance.choice
    section = ResolversSection(
        "r",
        tuple(Nameserver(name, "127.0.0.1", index=n) for n, name in enumerate(nameservers)),
        resolve_retries=choose((1, 2, 3)),
        timeout_resolve_ms=choose((1_500, 5_000)),
        ttl_period=choose(TTL_PERIODS),
        timeout_retry_ms=choose((100, 300)),
        holds=Holds(*[choose((0, 500, 2_000, 10_000)) for _ in range(6)]),
        search=DOMAINS,
        ndots=choose((1, 2)),
    )
    preferred = choose((Family.IPV4, Family.IPV6))
    resolutions: list[ResolutionSettings] = []
    slots = 0
    for name in ("a.test", "b.test", LABEL, "short")[: 4 if chance.random() < 0.3 else 3]:
        port, index = 0 if name == LABEL else 8080, len(resolutions)
        merges = chance.random() < 0.3
        servers = make_servers(chance, index, slots, port, merges=merges)
        if name in ("a.test", LABEL) and chance.random() < 0.3:  # a second backend
            servers += make_servers(chance, 4 + index, slots + len(servers), port, merges=merges)
        if name != LABEL:
            servers = [msgspec.structs.replace(s, preferred=Family.NONE) for s in servers]
        slots += len(servers)
        resolutions.append(
            ResolutionSettings(
                index,
                "r",
                name,
                preferred,
                tuple(servers),
                search=name == "short",
                all_families=merges and name != LABEL,
            )
        )
    families = choose(((Family.IPV4, Family.IPV6), (Family.IPV4, Family.IPV6), (Family.IPV4,)))
    return ResolverdSettings((section,), tuple(resolutions), families)
