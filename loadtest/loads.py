"""The loads: the work that each gives a started proxy, and its figures.

Owns the list, and the loads without a generator of their own; `traffic.py` has wrk and iperf3. A
load gets a running `Instance` and knows no program.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from loadtest.calls import traced
from loadtest.checked import checked_servers, connects, watch_checks
from loadtest.control_loads import CONTROL_LOADS
from loadtest.cpu import tree_private_bytes, tree_pss_bytes, tree_run_seconds, tree_wakeups
from loadtest.fleet import nameservers
from loadtest.generators import built_generator
from loadtest.idle import hold_connections
from loadtest.instance import Instance
from loadtest.latency import BESIDE_BULK_RATE, SATURATION_SHARES, largest_rate, pace
from loadtest.load import Load, Prepare, Run, at_once
from loadtest.member_loads import MEMBER_LOADS
from loadtest.process import output_of
from loadtest.process_loads import PROCESS_LOADS
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.propagation import answer_anew, scripted_nameserver
from loadtest.resolving import resolve_names
from loadtest.rule_loads import RULE_LOADS, TRACKED
from loadtest.session_loads import SESSION_LOADS
from loadtest.site import Site, idle_connections
from loadtest.table_loads import TABLE_LOADS
from loadtest.traffic import (
    CLOSING,
    GRACE_SECONDS,
    Sample,
    bulk_download,
    bulk_eight,
    bulk_streams,
    bulk_upload,
    close,
    close_wide,
    keepalive,
    read_wrk,
    wrk_command,
)
from loadtest.waiting import WAITING_LOADS

SETTLE_SECONDS = 1.0
IDLE_CONNECTIONS = 6_000
STARTED_SECONDS = 4.0  # after which nothing of a start goes on
REST_TIMES = 3  # as long as other loads
RESIDENT_SERVERS = 10
TRACED_CONNECTIONS = 16
TRACED_SECONDS = 2
BULK_BESIDE = 6  # streams
CHECKED_SERVERS = 200
CHECK_INTER_MS = 100
MANY_SERVERS = (10, 1_000, 10_000)


def _calls(instance: Instance, site: Site, header: tuple[str, ...]) -> Sample:
    command = wrk_command(site, TRACED_SECONDS, TRACED_CONNECTIONS, header)
    with traced(instance.pid, site) as calls:
        text = output_of(command, site.load_cores, TRACED_SECONDS + GRACE_SECONDS)
    requests, _, _ = read_wrk(text)
    by_name = {f"calls_{name}": count / requests for name, count in calls.items()}
    return {"calls": sum(calls.values()) / requests, **by_name, "units": requests}


def calls_keepalive(instance: Instance, site: Site, _seconds: int) -> Sample:
    """System calls of small requests on lasting connections."""
    return _calls(instance, site, ())


def calls_close(instance: Instance, site: Site, _seconds: int) -> Sample:
    """System calls of connections with one small request each."""
    return _calls(instance, site, CLOSING)


def checks(instance: Instance, _site: Site, seconds: int) -> Sample:
    """CPU time of health checks: many servers, each checked ten times a second.

    The kernel counts them: a busy server makes them fewer, as the next one follows the end.
    """
    instance.settle(SETTLE_SECONDS)
    before, connects_before = tree_run_seconds(instance.pid), connects()
    instance.settle(seconds)
    used = tree_run_seconds(instance.pid) - before
    done = connects() - connects_before
    return {"cpu_us": used / max(1, done) * 1e6, "cpu_seconds": used, "units": done}


def idle(instance: Instance, site: Site, _seconds: int) -> Sample:
    """Userspace memory per established connection without traffic."""
    count = idle_connections(site, IDLE_CONNECTIONS)
    instance.settle(SETTLE_SECONDS)
    before = tree_private_bytes(instance.pid)
    with hold_connections(site.idle, count):
        instance.settle(SETTLE_SECONDS)
        after = tree_private_bytes(instance.pid)
    return {"bytes_per_connection": (after - before) / count, "units": count}


def resident(instance: Instance, _site: Site, seconds: int) -> Sample:
    """Start, memory and CPU of an idle proxy with ten checked servers.

    A start has work behind it, and what is at rest wakes a few times a second: both take time.
    """
    seconds *= REST_TIMES
    instance.settle(STARTED_SECONDS)
    before, switches = tree_run_seconds(instance.pid), tree_wakeups(instance.pid)
    instance.settle(seconds)
    used, woken = tree_run_seconds(instance.pid) - before, tree_wakeups(instance.pid) - switches
    return {
        "pss_mb": tree_pss_bytes(instance.pid) / 1e6,
        "idle_cpu_ms_per_s": used / seconds * 1000,
        "wakeups_per_s": woken / seconds,
        "start_ms": instance.start_ms,
    }


@contextmanager
def logged(site: Site, _setup: Setup) -> Iterator[Run]:
    """Short connections, each with a line to a syslog address.

    The socket is not read: the kernel drops lines that do not fit into its buffer, at the same cost
    for the sender.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((site.syslog.host, site.syslog.port))
        yield close


def fixed_rate_load(share: float) -> Prepare:
    """Requests at a fixed rate, a share of HAProxy's largest, once nothing of a start goes on."""

    @contextmanager
    def prepare(site: Site, _setup: Setup) -> Iterator[Run]:
        rate = share * largest_rate(site, keepalive)
        with built_generator(site, "pacer") as pacer:

            def run(instance: Instance, site: Site, seconds: int) -> Sample:
                instance.settle(STARTED_SECONDS)
                return pace(instance, site, seconds, pacer, rate)

            yield run

    return prepare


@contextmanager
def beside_bulk(site: Site, _setup: Setup) -> Iterator[Run]:
    """A request now and then beside six streams of bulk."""
    with built_generator(site, "pacer") as pacer:

        def run(instance: Instance, site: Site, seconds: int) -> Sample:
            with bulk_streams(site, BULK_BESIDE, seconds + SETTLE_SECONDS):
                instance.settle(SETTLE_SECONDS)
                return pace(instance, site, seconds, pacer, BESIDE_BULK_RATE)

        yield run


@contextmanager
def many_checks(site: Site, setup: Setup) -> Iterator[Run]:
    """Servers that are only checked: whether each check comes in its time."""
    with checked_servers(site) as servers:
        yield lambda instance, _site, seconds: watch_checks(instance, setup, servers, seconds)


@contextmanager
def many_names(site: Site, setup: Setup) -> Iterator[Run]:
    """Repeated resolution of many names by two nameservers, which may not have all of them."""
    with nameservers(site, setup.names - setup.absent) as fleet:
        yield lambda instance, _site, _seconds: resolve_names(instance, setup, fleet)


@contextmanager
def propagation(site: Site, setup: Setup) -> Iterator[Run]:
    """The same, with one more name whose address changes with each answer."""
    with nameservers(site, setup.names), scripted_nameserver(site) as nameserver:
        yield lambda instance, _site, _seconds: answer_anew(instance, site, setup, nameserver)


def _server_loads(balance: str) -> tuple[Load, ...]:
    """Short connections by the number of servers in the backend."""
    return tuple(
        Load(
            f"{balance}{count}",
            f"{count:,} servers, {balance}",
            at_once(close),
            Setup(web_servers=count, balance=balance),
            programs=DNS_PROGRAMS,
            brief=False,
        )
        for count in MANY_SERVERS
    )


LOADS = (
    Load("keepalive", "keep-alive request", at_once(keepalive)),
    *(
        Load(f"latency{100 * share:.0f}", "latency at a fixed rate", fixed_rate_load(share))
        for share in SATURATION_SHARES
    ),
    Load("beside", "a request beside bulk", beside_bulk),
    Load("close", "short connection", at_once(close)),
    Load(
        "closelog",
        "short connection, logged",
        logged,
        Setup(access_log=True),
        programs=DNS_PROGRAMS,
    ),
    *RULE_LOADS,
    *WAITING_LOADS,
    Load("bulk1", "bulk, one stream up", at_once(bulk_upload)),
    Load("bulk1r", "bulk, one stream down", at_once(bulk_download)),
    Load("bulk8", "bulk, eight streams", at_once(bulk_eight)),
    Load("idle", "idle connection", at_once(idle)),
    Load(
        "idletracked",
        "idle connection, tracked",
        at_once(idle),
        Setup(idle_rules=TRACKED),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "resident",
        "at rest, 2 workers, 10 servers",
        at_once(resident),
        Setup(workers=2, web_servers=RESIDENT_SERVERS, check_inter_ms=2_000),
    ),
    Load(
        "resident64",
        "at rest, 64 workers, 10 servers",
        at_once(resident),
        Setup(workers=64, web_servers=RESIDENT_SERVERS, check_inter_ms=2_000),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load(
        "checks",
        "health checks",
        at_once(checks),
        Setup(web_servers=CHECKED_SERVERS, check_inter_ms=CHECK_INTER_MS),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "checkshttp",
        "health checks, HTTP",
        at_once(checks),
        Setup(web_servers=CHECKED_SERVERS, check_inter_ms=CHECK_INTER_MS, http_checks=True),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "checks10k",
        "10,000 checked servers, half silent",
        many_checks,
        Setup(workers=2, checked=10_000),
        quick=Setup(workers=2, checked=400),
        programs=DNS_PROGRAMS,
    ),
    *PROCESS_LOADS,
    *SESSION_LOADS,
    *MEMBER_LOADS,
    Load("calls", "system calls, keep-alive", at_once(calls_keepalive)),
    Load("callsclose", "system calls, short", at_once(calls_close)),
    Load(
        "worker1",
        "one worker, 400 connections",
        at_once(close_wide),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load(
        "worker2",
        "two workers, 400 connections",
        at_once(close_wide),
        Setup(workers=2),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    *_server_loads("roundrobin"),
    *_server_loads("leastconn"),
    *TABLE_LOADS,
    *CONTROL_LOADS,
    Load(
        "names10k",
        "10,000 names every 10 s",
        many_names,
        Setup(names=10_000, resolve_ms=10_000),
        quick=Setup(names=1_000, resolve_ms=2_000),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "absent10k",
        "10,000 names, half of them absent",
        many_names,
        Setup(names=10_000, absent=5_000, resolve_ms=10_000),
        quick=Setup(names=1_000, absent=500, resolve_ms=2_000),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "names1k",
        "1,000 names every second",
        many_names,
        Setup(names=1_000, resolve_ms=1_000, periods=10),
        quick=Setup(names=100, resolve_ms=1_000),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "propagation",
        "new addresses beside 10,000 names",
        propagation,
        Setup(workers=2, names=10_000, resolve_ms=10_000, changes=1_000),
        quick=Setup(workers=2, names=500, resolve_ms=2_000, changes=50),
        programs=("millrace",),
    ),
    Load(
        "srv1000",
        "an SRV answer of 1,000 records",
        propagation,
        Setup(workers=2, names=10_000, resolve_ms=10_000, changes=100, records=1_000),
        quick=Setup(workers=2, names=500, resolve_ms=2_000, changes=10, records=1_000),
        programs=("millrace",),
    ),
)
