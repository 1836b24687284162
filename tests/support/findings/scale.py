"""Settings of a real resolverd for the situations that users reported, at a quick pace.

One section, one host name or one SRV label for all servers; everything that a finding does not turn
on has the defaults of the configuration, but for the times.
"""

from __future__ import annotations

import msgspec

from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.config import Transport as Carrier
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import IPV4_ONLY, ResolverdProcess, settings_of
from tests.support.dns.scripted import ScriptedNameserver

HOST = "app.test"
LABEL = "_web._tcp.app.test"
HOUR_MS = 3_600_000


def quick_section(
    *nameservers: ScriptedNameserver,
    holds: Holds | None = None,
    carrier: Carrier = Carrier.UDP,
    resolve_ms: int = 40,
    retry_ms: int = 150,
    retries: int = 1,
) -> ResolversSection:
    """A section whose names are asked for 25 times a second, each question once."""
    return ResolversSection(
        name="r1",
        nameservers=tuple(
            Nameserver(f"ns{index + 1}", each.host, each.port, carrier, index)
            for index, each in enumerate(nameservers)
        ),
        resolve_retries=retries,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=retry_ms,
        holds=holds or Holds(),
    )


def follows_host(
    section: ResolversSection,
    of_servers: int | tuple[ResolvedServer, ...],
    families: tuple[Family, ...] = IPV4_ONLY,
    preferred: Family = Family.IPV4,
) -> ResolverdSettings:
    """Servers of port 8080 that follow HOST."""
    made = servers(of_servers) if isinstance(of_servers, int) else of_servers
    return settings_of(section, resolution_settings(made, preferred, HOST), families=families)


def label_servers(count: int, backend: int = 0, first_slot: int = 0) -> tuple[ResolvedServer, ...]:
    """Servers whose ports come with their records."""
    made = servers(count, backend, first_slot)
    return tuple(msgspec.structs.replace(each, port=0) for each in made)


def follows_label(section: ResolversSection, count: int) -> ResolverdSettings:
    """Servers that follow LABEL."""
    return settings_of(section, resolution_settings(label_servers(count), name=LABEL))


def wait_more_runs(resolverd: ResolverdProcess, runs: int, resolution: int = 0) -> None:
    """Wait until so many more runs have ended; the first of them may have begun before."""
    before = resolverd.record(resolution)["runs"]
    resolverd.wait(
        lambda: resolverd.record(resolution)["runs"] >= before + runs, f"{runs} more runs"
    )
