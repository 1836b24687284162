"""The loads: what each does to a started proxy, and which figures come out of it.

Owns the load generators (wrk, iperf3) and the reading of their output; the idle-connection holder
is in `idle.py`. A load gets an `Instance` that forwards and knows nothing about the program behind.
Quoted figures are CPU time of the whole proxy tree per unit of work; rates are printed beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from loadtest.backend import bulk_backend
from loadtest.cpu import (
    tree_cpu_seconds,
    tree_private_bytes,
    tree_pss_bytes,
    tree_run_seconds,
)
from loadtest.fleet import nameservers
from loadtest.idle import hold_connections
from loadtest.instance import Instance
from loadtest.process import ProgramFailedError, output_of
from loadtest.programs import DNS_PROGRAMS, PROGRAM_NAMES, Setup, executable
from loadtest.propagation import answer_anew, scripted_nameserver
from loadtest.resolving import resolve_names
from loadtest.site import Site, idle_connections

WRK_CONNECTIONS = 64
BULK_STREAMS = 8
GRACE_SECONDS = 15.0
SETTLE_SECONDS = 1.0
RESIDENT_SERVERS = 10

Sample = dict[str, float]
Run = Callable[[Instance, Site, int], Sample]
Prepare = Callable[[Site, Setup], AbstractContextManager[Run]]


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of work: the setup it needs and the function that does it and measures.

    `prepare` starts what must run before the program does, and gives that function.
    """

    name: str
    title: str
    prepare: Prepare
    setup: Setup = field(default_factory=Setup)
    quick: Setup | None = None  # instead of `setup` where only a moment may be spent
    programs: tuple[str, ...] = PROGRAM_NAMES  # those that can do this work


def at_once(run: Run) -> Prepare:
    """Nothing needs to run before the program."""
    return lambda _site, _setup: nullcontext(run)


def _seconds_of(text: str) -> float:
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if match is None:
        raise ProgramFailedError(f"wrk: cannot read the time '{text}'")
    return float(match[1]) * units[match[2]]


def read_wrk(text: str) -> tuple[int, float, Sample]:
    """Requests done, seconds taken, and rate, latency and errors as wrk's report gives them."""
    total = re.search(r"^\s*(\d+) requests in ([\d.]+[a-z]+),", text, re.MULTILINE)
    median = re.search(r"^\s*50%\s+(\S+)$", text, re.MULTILINE)
    slowest = re.search(r"^\s*99%\s+(\S+)$", text, re.MULTILINE)
    if total is None or median is None or slowest is None or int(total[1]) == 0:
        raise ProgramFailedError("wrk: no request was answered")
    socket_errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    errors = sum(int(count) for count in socket_errors.groups()) if socket_errors else 0
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors += int(refused[1]) if refused else 0
    requests, seconds = int(total[1]), _seconds_of(total[2])
    figures = {
        "rate": requests / seconds,
        "latency_p50_ms": _seconds_of(median[1]) * 1000,
        "latency_p99_ms": _seconds_of(slowest[1]) * 1000,
        "errors": float(errors),
    }
    return requests, seconds, figures


def _wrk(instance: Instance, site: Site, seconds: int, header: tuple[str, ...]) -> Sample:
    path = executable("wrk")
    if path is None:
        raise ProgramFailedError("wrk is not installed")
    connections = f"-c{WRK_CONNECTIONS}"
    command = (path, "-t1", connections, f"-d{seconds}s", "--latency", *header)
    before = tree_cpu_seconds(instance.pid)
    text = output_of(
        (*command, f"http://{site.web.front}/"), site.load_cores, seconds + GRACE_SECONDS
    )
    used = tree_cpu_seconds(instance.pid) - before
    requests, _, figures = read_wrk(text)
    return {"cpu_us": used / requests * 1e6, **figures, "cpu_seconds": used, "units": requests}


def keepalive(instance: Instance, site: Site, seconds: int) -> Sample:
    """Many small requests on 64 lasting connections."""
    return _wrk(instance, site, seconds, ())


def close(instance: Instance, site: Site, seconds: int) -> Sample:
    """A connection for each small request."""
    return _wrk(instance, site, seconds, ("-H", "Connection: close"))


def read_iperf(text: str) -> tuple[float, float]:
    """Bytes received and the seconds that took, from iperf3's JSON report."""
    report = json.loads(text)
    if "error" in report:
        raise ProgramFailedError(f"iperf3: {report['error']}")
    received = report["end"]["sum_received"]
    if received["bytes"] <= 0:
        raise ProgramFailedError("iperf3: no byte arrived")
    return float(received["bytes"]), float(received["seconds"])


def _iperf(
    instance: Instance, site: Site, seconds: int, streams: int, reverse: bool = False
) -> Sample:
    path = executable("iperf3")
    if path is None:
        raise ProgramFailedError("iperf3 is not installed")
    front = site.bulk.front
    command = [path, "-c", front.host, "-p", str(front.port), "-P", str(streams), "-J"]
    command += ["-t", str(seconds), "--connect-timeout", "5000", *(["-R"] if reverse else [])]
    with bulk_backend(site.bulk.servers[0], site.load_cores):
        before = tree_cpu_seconds(instance.pid)
        text = output_of(command, site.load_cores, seconds + GRACE_SECONDS)
        used = tree_cpu_seconds(instance.pid) - before
    received, taken = read_iperf(text)
    return {
        "cpu_s_per_gb": used / (received / 1e9),
        "gbit_per_s": received * 8 / taken / 1e9,
        "cpu_seconds": used,
        "units": received,
    }


def bulk_upload(instance: Instance, site: Site, seconds: int) -> Sample:
    """One stream, client to server."""
    return _iperf(instance, site, seconds, streams=1)


def bulk_download(instance: Instance, site: Site, seconds: int) -> Sample:
    """One stream, server to client."""
    return _iperf(instance, site, seconds, streams=1, reverse=True)


def bulk_eight(instance: Instance, site: Site, seconds: int) -> Sample:
    """Eight streams at once, client to server."""
    return _iperf(instance, site, seconds, streams=BULK_STREAMS)


def idle(instance: Instance, site: Site, _seconds: int) -> Sample:
    """Userspace memory that established connections without traffic take, per connection."""
    count = idle_connections(site)
    instance.settle(SETTLE_SECONDS)
    before = tree_private_bytes(instance.pid)
    with hold_connections(site.idle, count):
        instance.settle(SETTLE_SECONDS)
        after = tree_private_bytes(instance.pid)
    return {"bytes_per_connection": (after - before) / count, "units": count}


def resident(instance: Instance, _site: Site, seconds: int) -> Sample:
    """Memory and CPU of a proxy that has nothing to do: two workers, ten checked servers."""
    instance.settle(SETTLE_SECONDS)
    before = tree_run_seconds(instance.pid)
    instance.settle(seconds)
    used = tree_run_seconds(instance.pid) - before
    return {
        "pss_mb": tree_pss_bytes(instance.pid) / 1e6,
        "idle_cpu_ms_per_s": used / seconds * 1000,
        "start_ms": instance.start_ms,
    }


@contextmanager
def many_names(site: Site, setup: Setup) -> Iterator[Run]:
    """Many names on two nameservers, each again and again."""
    with nameservers(site, setup.names) as fleet:
        yield lambda instance, _site, _seconds: resolve_names(instance, setup, fleet)


@contextmanager
def propagation(site: Site, setup: Setup) -> Iterator[Run]:
    """The same, and one more name that gets another address with each answer."""
    with nameservers(site, setup.names), scripted_nameserver(site) as nameserver:
        yield lambda instance, _site, _seconds: answer_anew(instance, site, setup, nameserver)


LOADS = (
    Load("keepalive", "keep-alive request", at_once(keepalive)),
    Load("close", "short connection", at_once(close)),
    Load("bulk1", "bulk, one stream up", at_once(bulk_upload)),
    Load("bulk1r", "bulk, one stream down", at_once(bulk_download)),
    Load("bulk8", "bulk, eight streams", at_once(bulk_eight)),
    Load("idle", "idle connection", at_once(idle)),
    Load(
        "resident",
        "at rest, 2 workers, 10 servers",
        at_once(resident),
        Setup(workers=2, web_servers=RESIDENT_SERVERS, health_checks=True),
    ),
    Load(
        "names10k",
        "10,000 names every 10 s",
        many_names,
        Setup(names=10_000, resolve_ms=10_000),
        quick=Setup(names=1_000, resolve_ms=2_000),
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
