"""Latency at a fixed rate: an open loop, so that a stall counts for every request that it delays.

Owns the use of `pacer.c` (wrk has no such mode) and the rates: shares of HAProxy's in a closed
loop on this machine, measured once in a run; of Millrace's without HAProxy.
Latency counts from the time when a request was due, not from when it was sent.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

from loadtest.instance import Instance, started
from loadtest.process import ProgramFailedError, output_of
from loadtest.programs import Missing, Setup, find_program
from loadtest.site import Site
from loadtest.traffic import Sample

SATURATION_SHARES = (0.3, 0.5, 0.7)
BESIDE_BULK_RATE = 100.0  # requests per second
SATURATION_SECONDS = 3
CONNECTIONS = 64
GRACE_SECONDS = 20.0

Saturate = Callable[[Instance, Site, int], Sample]


@functools.cache
def largest_rate(site: Site, saturate: Saturate) -> float:
    """Requests per second: what HAProxy serves in a closed loop; Millrace without HAProxy."""
    for name in ("haproxy", "millrace"):
        program = find_program(name)
        if not isinstance(program, Missing):
            with started(program, site, Setup()) as instance:
                return saturate(instance, site, SATURATION_SECONDS)["rate"]
    raise ProgramFailedError("neither HAProxy nor Millrace is here")


def read_pacer(text: str) -> Sample:
    """The figures of a report; raises ProgramFailedError for unanswered requests."""
    report = json.loads(text)
    if report["errors"] or report["answered"] != report["requests"]:
        raise ProgramFailedError(
            f"pacer: {report['answered']} of {report['requests']} answered, "
            f"{report['errors']} connections failed"
        )
    quantiles = {float(share): value for share, value in report["quantiles_us"].items()}
    return {
        "latency_p50_us": quantiles[0.5],
        "latency_p99_us": quantiles[0.99],
        "latency_p999_us": quantiles[0.999],
        "latency_max_us": report["max_us"],
        "lag_p99_us": report["lag_p99_us"],
        "units": report["requests"],
    }


def pace(instance: Instance, site: Site, seconds: int, pacer: Path, rate: float) -> Sample:
    """Send `rate` requests a second for `seconds`; ProgramFailedError if the proxy has ended."""
    front = site.web.front
    command = (str(pacer), front.host, str(front.port), str(CONNECTIONS), f"{rate:.0f}")
    text = output_of((*command, str(seconds)), site.load_cores, seconds + GRACE_SECONDS)
    if instance.child.poll() is not None:
        raise ProgramFailedError(f"ended with status {instance.child.returncode}")
    return {"rate": rate, **read_pacer(text)}
