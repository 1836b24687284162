"""The loads about processes: one that is killed, a reload, the reading of many sections.

Owns their list. `killed.py` and `renewing.py` do the work of the first two.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median, median_high

from loadtest.instance import Instance
from loadtest.killed import kill_again_and_again, kill_beside_others
from loadtest.load import Load, Run, at_once
from loadtest.process import output_of, running
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.propagation import scripted_nameserver
from loadtest.renewing import renew
from loadtest.site import Site, idle_address
from loadtest.traffic import WRK_CONNECTIONS, Sample, wrk_command

BUSY_SECONDS_MAX = 600  # of wrk, which is ended after the kills
KILLS_PER_SECOND = 5  # of the length of a load
KILLS_BESIDE_PER_SECOND = 2  # likewise
READ_SECTIONS = 5_000  # frontends, and as many backends
READ_SECONDS_MAX = 60.0
READINGS = 3
ADOPTED_SERVERS, RENEWED_SERVERS = 10_000, 20_000


def killed_idle(instance: Instance, site: Site, seconds: int) -> Sample:
    """The time without service after the only worker was killed, at rest."""
    return _gaps(
        kill_again_and_again(instance, site.web.front, KILLS_PER_SECOND * seconds, nullcontext)
    )


def killed_busy(instance: Instance, site: Site, seconds: int) -> Sample:
    """The same during a closed loop of 64 connections, which all reconnect at once."""
    kills = KILLS_PER_SECOND * seconds
    return _gaps(kill_again_and_again(instance, site.web.front, kills, _closed_loop(site)))


def killed_beside(instance: Instance, site: Site, seconds: int) -> Sample:
    """The longest wait of any client after one of several workers was killed, at rest."""
    return _beside(instance, site, seconds, nullcontext)


def killed_beside_busy(instance: Instance, site: Site, seconds: int) -> Sample:
    """The same during a closed loop of 64 connections, of which half reconnect at once."""
    return _beside(instance, site, seconds, _closed_loop(site))


def _beside(
    instance: Instance,
    site: Site,
    seconds: int,
    traffic: Callable[[], AbstractContextManager[object]],
) -> Sample:
    kills = KILLS_BESIDE_PER_SECOND * seconds
    before, after = kill_beside_others(instance, site.web.front, kills, traffic)
    return {**_gaps(after), "before_p50_ms": median_high(before)}


def _closed_loop(site: Site) -> Callable[[], AbstractContextManager[object]]:
    """What starts it, once for each kill."""
    command = wrk_command(site, BUSY_SECONDS_MAX, WRK_CONNECTIONS, ())
    return lambda: running(command, site.load_cores, subprocess.DEVNULL)


def _gaps(gaps_ms: list[float]) -> Sample:
    gaps_ms = sorted(gaps_ms)
    return {
        "gap_p50_ms": median_high(gaps_ms),
        "gap_p99_ms": gaps_ms[min(len(gaps_ms) - 1, int(0.99 * len(gaps_ms)))],
        "units": len(gaps_ms),
    }


@contextmanager
def renewed(site: Site, setup: Setup) -> Iterator[Run]:
    """Reloads, and what is asked meanwhile."""
    with scripted_nameserver(site) as nameserver:
        yield lambda instance, site, _seconds: renew(instance, site, setup, nameserver)


def read_sections(instance: Instance, site: Site, _seconds: int) -> Sample:
    """The time of `-c` for many sections, the start of the program included."""
    server = site.web.servers[0]
    file = instance.stats_socket.parent / "sections.cfg"
    lines = ["global", "    maxconn 1000", "defaults", "    mode tcp"]
    lines += [f"    timeout {side} 1m" for side in ("connect", "client", "server")]
    for number in range(READ_SECTIONS):
        bound = idle_address(site, number)
        lines += [f"frontend f{number}", f"    bind {bound}", f"    default_backend b{number}"]
        lines += [f"backend b{number}", f"    server s {server}"]
    file.write_text("\n".join(lines) + "\n", encoding="ascii")
    taken = []
    for _ in range(READINGS):
        began = time.monotonic()
        output_of((*instance.command, "-c", "-f", str(file)), site.proxy_cores, READ_SECONDS_MAX)
        taken.append(time.monotonic() - began)
    return {"ms": median(taken) * 1000, "units": READINGS}


ONLY = ("millrace",)
PROCESS_LOADS = (
    Load("killed", "a killed worker, at rest", at_once(killed_idle), programs=ONLY),
    Load("killedbusy", "a killed worker, under load", at_once(killed_busy), programs=ONLY),
    Load(
        "killed2",
        "a killed worker of two",
        at_once(killed_beside),
        Setup(workers=2),
        programs=ONLY,
        brief=False,
    ),
    Load(
        "killed2busy",
        "a killed worker of two, under load",
        at_once(killed_beside_busy),
        Setup(workers=2),
        programs=ONLY,
        brief=False,
    ),
    Load(
        "killed16",
        f"a killed worker of 16, {ADOPTED_SERVERS:,} servers",
        at_once(killed_beside),
        Setup(workers=16, web_servers=ADOPTED_SERVERS),
        programs=ONLY,
        brief=False,
    ),
    Load(
        "reload20k",
        f"reload of {RENEWED_SERVERS:,} servers",
        renewed,
        Setup(workers=2, web_servers=RENEWED_SERVERS, changes=1),
        programs=ONLY,
        brief=False,
    ),
    Load(
        "reading",
        f"reading {READ_SECTIONS:,} frontends and backends",
        at_once(read_sections),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
)
