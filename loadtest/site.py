"""The addresses and cores of one run.

Owns addresses, ports, cores and descriptor limits. All addresses are loopback ones derived from the
harness's pid, so that two runs on one machine do not share any.
"""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import dataclass

DESCRIPTORS_MAX = 20_000
RESERVED_DESCRIPTORS = 400  # for listeners, pipes, logs and the like of a proxy or of the harness
WEB_SERVERS = 4
ZONE = "load.test"  # the zone of the names to resolve
NAMES_SECTION = "fleet"  # the `resolvers` section that resolves them
PROBE_NAME = f"probe.{ZONE}"  # the name whose address changes
PROBE_LABEL = f"_probe._tcp.{ZONE}"  # the SRV label whose records change


@dataclass(frozen=True, slots=True)
class HostPort:
    """One listening address."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, as in configuration files."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxiedService:
    """One kind of traffic: the proxy's address for it, and its servers."""

    name: str
    front: HostPort
    servers: tuple[HostPort, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """The services (small answers, bulk, idle connections), nameservers and cores of a run."""

    web: ProxiedService
    bulk: ProxiedService
    idle: ProxiedService
    probe: ProxiedService  # its server is the name whose address changes
    nameservers: tuple[HostPort, HostPort]
    probe_nameserver: HostPort
    syslog: HostPort
    living_port: int  # of the servers that answer checks, on any loopback address
    silent_port: int  # of those that do not
    proxy_cores: frozenset[int]
    load_cores: frozenset[int]
    sessions_max: int  # at 2.5 descriptors each: HAProxy includes its pipes

    @property
    def services(self) -> tuple[ProxiedService, ProxiedService, ProxiedService]:
        """All services with addresses, in the order in which configurations list them."""
        return (self.web, self.bulk, self.idle)


def make_site() -> Site:
    """Choose addresses, free ports and cores for this process; raises its own descriptor limit."""
    octets = f"{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
    back = [f"127.{101 + index}.{octets}" for index in range(WEB_SERVERS)]
    nameserver_port = _free(f"127.105.{octets}").port
    proxy_cores, load_cores = split_cores(os.sched_getaffinity(0))
    return Site(
        web=ProxiedService("web", _free(f"127.100.{octets}"), tuple(_free(host) for host in back)),
        bulk=ProxiedService("bulk", _free(f"127.100.{octets}"), (_free(back[0]),)),
        idle=ProxiedService("idle", _free(f"127.100.{octets}"), (_free(back[0]),)),
        probe=ProxiedService("probe", _free(f"127.100.{octets}"), (_free("0.0.0.0"),)),
        nameservers=(
            HostPort(f"127.105.{octets}", nameserver_port),
            HostPort(f"127.106.{octets}", nameserver_port),
        ),
        probe_nameserver=_free(f"127.107.{octets}"),
        syslog=_free(f"127.108.{octets}"),
        living_port=_free("0.0.0.0").port,
        silent_port=_free("0.0.0.0").port,
        proxy_cores=proxy_cores,
        load_cores=load_cores,
        sessions_max=(_raise_descriptor_limit() - RESERVED_DESCRIPTORS) * 2 // 5,
    )


def split_cores(usable: set[int]) -> tuple[frozenset[int], frozenset[int]]:
    """The proxy's core (the last one) and those of load and backend; one core is shared by all."""
    proxy_core = max(usable)
    others = usable - {proxy_core}
    return frozenset({proxy_core}), frozenset(others or usable)


def name_of(number: int) -> str:
    """A name of the zone."""
    return f"n{number}.{ZONE}"


def checked_address(site: Site, number: int) -> HostPort:
    """A server to be checked: those with even numbers answer, the others are silent."""
    silent, place = number % 2, number // 2
    port = site.silent_port if silent else site.living_port
    return HostPort(f"127.{112 + silent}.{place >> 8}.{place & 0xFF}", port)


def idle_address(site: Site, number: int) -> HostPort:
    """The address of a section without traffic."""
    return HostPort(f"127.114.{number >> 8}.{number & 0xFF}", site.living_port)


def idle_connections(site: Site, wanted: int) -> int:
    """As many idle connections as descriptors allow; the harness has both ends of each."""
    return min(wanted, site.sessions_max - RESERVED_DESCRIPTORS)


def _free(host: str) -> HostPort:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return HostPort(host, port)


def _raise_descriptor_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
