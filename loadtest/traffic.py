"""The loads of wrk and iperf3: their command lines, and the figures of their reports.

Owns both. The main figures are the CPU time of the whole proxy tree per unit of work; rates are
printed beside them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL

from loadtest.backend import bulk_backend
from loadtest.cpu import tree_cpu_seconds
from loadtest.instance import Instance
from loadtest.process import ProgramFailedError, output_of, running
from loadtest.programs import executable
from loadtest.site import Site

WRK_CONNECTIONS = 64
WIDE_CONNECTIONS = 400  # for two workers
BULK_STREAMS = 8
GRACE_SECONDS = 15.0
CLOSING = ("-H", "Connection: close")

Sample = dict[str, float]


def wrk_command(
    site: Site, seconds: int, connections: int, header: tuple[str, ...]
) -> tuple[str, ...]:
    """The command of a closed loop on the small answer; raises ProgramFailedError without wrk."""
    path = executable("wrk")
    if path is None:
        raise ProgramFailedError("wrk is not installed")
    options = ("-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *header)
    return (path, *options, f"http://{site.web.front}/")


def _seconds_of(text: str) -> float:
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if match is None:
        raise ProgramFailedError(f"wrk: cannot read the time '{text}'")
    return float(match[1]) * units[match[2]]


def read_wrk(text: str) -> tuple[int, float, Sample]:
    """Requests, seconds, and rate, latency and errors in wrk's report."""
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


def _wrk(
    instance: Instance,
    site: Site,
    seconds: int,
    header: tuple[str, ...],
    connections: int = WRK_CONNECTIONS,
) -> Sample:
    command = wrk_command(site, seconds, connections, header)
    before = tree_cpu_seconds(instance.pid)
    text = output_of(command, site.load_cores, seconds + GRACE_SECONDS)
    used = tree_cpu_seconds(instance.pid) - before
    requests, _, figures = read_wrk(text)
    return {"cpu_us": used / requests * 1e6, **figures, "cpu_seconds": used, "units": requests}


def keepalive(instance: Instance, site: Site, seconds: int) -> Sample:
    """Many small requests on 64 lasting connections."""
    return _wrk(instance, site, seconds, ())


def close_wide(instance: Instance, site: Site, seconds: int) -> Sample:
    """A connection for each small request, on many connections at a time."""
    return _wrk(instance, site, seconds, CLOSING, WIDE_CONNECTIONS)


def close(instance: Instance, site: Site, seconds: int) -> Sample:
    """A connection for each small request."""
    return _wrk(instance, site, seconds, CLOSING)


def read_iperf(text: str) -> tuple[float, float]:
    """The received bytes and the seconds in iperf3's JSON report."""
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
    command = [*_iperf_command(site, seconds, streams), *(["-R"] if reverse else [])]
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


@contextmanager
def bulk_streams(site: Site, streams: int, seconds: float) -> Iterator[None]:
    """So many streams, client to server, for at most `seconds`, while the block lasts."""
    with (
        bulk_backend(site.bulk.servers[0], site.load_cores),
        running(_iperf_command(site, math.ceil(seconds), streams), site.load_cores, DEVNULL),
    ):
        yield


def _iperf_command(site: Site, seconds: int, streams: int) -> list[str]:
    path = executable("iperf3")
    if path is None:
        raise ProgramFailedError("iperf3 is not installed")
    front = site.bulk.front
    command = [path, "-c", front.host, "-p", str(front.port), "-P", str(streams), "-J"]
    return [*command, "-t", str(seconds), "--connect-timeout", "5000"]


def bulk_upload(instance: Instance, site: Site, seconds: int) -> Sample:
    """One stream, client to server."""
    return _iperf(instance, site, seconds, streams=1)


def bulk_download(instance: Instance, site: Site, seconds: int) -> Sample:
    """One stream, server to client."""
    return _iperf(instance, site, seconds, streams=1, reverse=True)


def bulk_eight(instance: Instance, site: Site, seconds: int) -> Sample:
    """Eight streams at once, client to server."""
    return _iperf(instance, site, seconds, streams=BULK_STREAMS)
