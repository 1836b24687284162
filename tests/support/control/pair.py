"""The same servers twice: in HAProxy, and in a segment with a control process over it.

What HAProxy's checks find out, the test writes into the segment as a worker would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Balance, Balancing, Check, Origin, Proxy, Queueing
from proxy.runtime import now_ms
from resolverd.config import (
    Family,
    Nameserver,
    ResolutionSettings,
    ResolverdSettings,
    ResolversSection,
)
from shm.states import HealthState, Operational
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.control.sections import metrics_on
from tests.support.control.site import World, a_server, ask, control_world, haproxy

CHECKED = Check(inter_ms=100)
RESOLVERD = ResolverdSettings(
    (ResolversSection("r1", (Nameserver("ns1", "127.0.0.1", 1),)),),
    (ResolutionSettings(0, "r1", "nope.example", Family.IPV4, ()),),
)
CONNECTION_REFUSED = 111
AGREEMENT_SECONDS = (
    PATIENCE_SECONDS  # many of HAProxy's checks, which show while they are under way
)

Found = TypeVar("Found")


def proxies(up_port: int) -> list[Proxy]:
    """As in `configuration`; ids are HAProxy's."""
    return [
        Proxy(
            "l1",
            2,
            "listen",
            Origin(),
            servers=(
                a_server("a", "127.78.1.2", 7101),
                a_server("b", "127.78.1.2", 7102, check=CHECKED),
                a_server("c", "127.78.1.2", 7103, check=CHECKED, balancing=Balancing(backup=True)),
                a_server("d", "127.78.1.2", 7104, disabled=True),
                a_server(
                    "e", "127.78.1.2", 7105, balancing=Balancing(10), check=CHECKED, disabled=True
                ),
            ),
        ),
        Proxy("f1", 3, "frontend", Origin(), maxconn=50, default_backend=1),
        Proxy(
            "b1",
            4,
            "backend",
            Origin(),
            balance=Balance.LEASTCONN,
            servers=(
                a_server("web1", "nope.example", 80),
                a_server("web2", "nope.example", 80),
                a_server("wec1", "nope.example", 80, check=CHECKED),
                a_server(
                    "up1",
                    "127.78.1.1",
                    up_port,
                    check=Check(inter_ms=100, rise=4, fall=5, port=up_port, address="127.78.1.1"),
                    queueing=Queueing(12),
                ),
                a_server("six", "::1", 99),
            ),
        ),
        Proxy("nosrv", 5, "backend", Origin()),
        Proxy(
            "prom",
            6,
            "frontend",
            Origin(),
            http=metrics_on("/metrics", page=StatsPage("/stats")),
        ),
    ]


def configuration(up_port: int, other_port: int, service_port: int) -> str:
    return f"""
resolvers r1
  nameserver ns1 127.0.0.1:1
  timeout resolve 1s
  timeout retry 100ms
  resolve_retries 1
defaults
  mode tcp
  timeout connect 1s
  timeout client 600s
  timeout server 600s
listen l1
  bind 127.78.1.1:{up_port}
  balance roundrobin
  server a 127.78.1.2:7101
  server b 127.78.1.2:7102 check inter 100ms
  server c 127.78.1.2:7103 check inter 100ms backup
  server d 127.78.1.2:7104 disabled
  server e 127.78.1.2:7105 weight 10 check inter 100ms disabled
frontend f1
  bind 127.78.1.1:{other_port}
  maxconn 50
  default_backend b1
backend b1
  balance leastconn
  server-template web 2 nope.example:80 resolvers r1 init-addr none
  server wec1 nope.example:80 check inter 100ms resolvers r1 init-addr none
  server up1 127.78.1.1:{up_port} check inter 100ms rise 4 fall 5 port {up_port} addr 127.78.1.1 maxconn 12
  server six [::1]:99
backend nosrv
frontend prom
  mode http
  bind 127.78.1.1:{service_port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  stats enable
  stats uri /stats
"""


def slot_of(world: World, name: str) -> int:
    """The slot of a server written `backend/server`."""
    backend, server = name.split("/")
    for proxy in world.settings.backends:
        for candidate in proxy.servers:
            if (proxy.name, candidate.name) == (backend, server):
                return candidate.slot
    raise KeyError(name)


def refused(world: World, name: str) -> None:
    """As a worker after refused checks: down once."""
    slot = slot_of(world, name)
    incarnation = world.table.slot(slot).incarnation
    world.health.publish(
        slot,
        HealthState(
            incarnation, 1, 0, 8, 2, 6, 0, CONNECTION_REFUSED, now_ms(), 100, 1, 1, 0, now_ms()
        ),
        changed=True,
    )


def passed(world: World, name: str, health: int) -> None:
    """As a worker after passed checks."""
    slot = slot_of(world, name)
    incarnation = world.table.slot(slot).incarnation
    up = Operational.RUNNING
    world.health.publish(
        slot,
        HealthState(incarnation, 1, up, 6, 3, 6, health, 0, 0, 100, 0, 0, 0, now_ms()),
        changed=True,
    )


class Pair:
    """Both of them; `both` asks the same of each."""

    def __init__(self, world: World, path: Path, service_port: int) -> None:
        self.world = world
        self.path = path
        self.service_port = service_port

    def theirs(self, command: str) -> str:
        return ask(self.path, command)

    def both(self, command: str) -> tuple[str, str]:
        """HAProxy's answer, then ours."""
        return self.theirs(command), self.world.ask(command)


def settled(compare: Callable[[], list[Found]]) -> list[Found]:
    """The differences, once there are none or time is up: HAProxy is caught in mid-check."""
    deadline = time.monotonic() + AGREEMENT_SECONDS
    while (found := compare()) and time.monotonic() < deadline:
        continue
    return found


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """HAProxy and control, both started, HAProxy's first checks done and written down here too."""
    ports = free_port(), free_port(), free_port()
    with haproxy(configuration(*ports), folder) as path:
        wait_for(lambda: checks_done(ask(path, "show servers state")), 10, "HAProxy's checks")
        with control_world(proxies(ports[0]), resolverd=RESOLVERD) as world:
            refused(world, "l1/b")
            refused(world, "l1/c")
            passed(world, "b1/up1", 8)
            yield Pair(world, path, ports[2])


def checks_done(state: str) -> bool:
    """b and c were found down, up1 has passed often enough."""
    rows = {line.split()[3]: line.split() for line in state.splitlines()[2:] if line}
    return rows["b"][5] == "0" and rows["c"][5] == "0" and rows["up1"][12] == "8"
