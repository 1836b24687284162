"""Short connections from many addresses, by `knock.c`: what each costs, and who is refused.

Owns the use of that generator. wrk has one source address and calls a refused connection an error.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.cpu import tree_cpu_seconds
from loadtest.generators import built_generator
from loadtest.instance import Instance
from loadtest.latency import largest_rate, pace
from loadtest.load import Run
from loadtest.process import ProgramFailedError, output_of, running
from loadtest.programs import Setup
from loadtest.rule_files import mapped_name
from loadtest.site import Site
from loadtest.traffic import Sample, keepalive

CONNECTIONS = 64
SOURCES = 1 << 16
GRACE_SECONDS = 15.0
REQUEST = b"GET / HTTP/1.1\r\nHost: load.test\r\nConnection: close\r\n\r\n"
FLOOD_SECONDS_MAX = 600  # it is ended when the requests are done
BESIDE_SHARE = 0.14  # of the rate that HAProxy serves in a closed loop


@contextmanager
def asking(site: Site, _setup: Setup) -> Iterator[Run]:
    """A small HTTP request on each connection."""
    with _knocking(site, REQUEST) as run:
        yield run


@contextmanager
def greeting(site: Site, setup: Setup) -> Iterator[Run]:
    """A ClientHello on each connection; what answers it is an error page of the server."""
    with _knocking(site, client_hello(mapped_name(max(setup.mapped, 1) // 2))) as run:
        yield run


@contextmanager
def refused(site: Site, _setup: Setup) -> Iterator[Run]:
    """Nothing is sent: the proxy ends each connection by itself."""
    with built_generator(site, "knock") as knock:

        def run(instance: Instance, site: Site, seconds: int) -> Sample:
            sample = _knock(instance, site, seconds, knock, None)
            if sample["answered"]:
                raise ProgramFailedError(f"{sample['answered']:.0f} clients were not refused")
            return sample

        yield run


@contextmanager
def beside_flood(site: Site, setup: Setup) -> Iterator[Run]:
    """Requests at a fixed rate, with a flood of refused clients if the section has rules."""
    rate = BESIDE_SHARE * largest_rate(site, keepalive)
    with built_generator(site, "pacer") as pacer, built_generator(site, "knock") as knock:

        def run(instance: Instance, site: Site, seconds: int) -> Sample:
            if not setup.rules:
                return pace(instance, site, seconds, pacer, rate)
            flood = _command(site, knock, FLOOD_SECONDS_MAX)
            with running(flood, site.load_cores, subprocess.DEVNULL):
                return pace(instance, site, seconds, pacer, rate)

        yield run


def client_hello(name: str) -> bytes:
    """The first message of a TLS client that asks for `name`."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise ProgramFailedError("a TLS client ended its handshake without an answer")


@contextmanager
def _knocking(site: Site, request: bytes) -> Iterator[Run]:
    """A run in which each connection sends `request` and must be answered."""
    with (
        built_generator(site, "knock") as knock,
        tempfile.NamedTemporaryFile(prefix="millrace-load-") as file,
    ):
        file.write(request)
        file.flush()

        def run(instance: Instance, site: Site, seconds: int) -> Sample:
            sample = _knock(instance, site, seconds, knock, Path(file.name))
            if sample["answered"] < sample["units"]:
                raise ProgramFailedError(
                    f"knock: {sample['answered']:.0f} of {sample['units']:.0f} answered"
                )
            return sample

        yield run


def _command(site: Site, knock: Path, seconds: int) -> tuple[str, ...]:
    front = site.web.front
    numbers = (CONNECTIONS, SOURCES, seconds)
    return (str(knock), front.host, str(front.port), *(str(number) for number in numbers))


def _knock(
    instance: Instance, site: Site, seconds: int, knock: Path, request: Path | None
) -> Sample:
    command = _command(site, knock, seconds) + (() if request is None else (str(request),))
    before = tree_cpu_seconds(instance.pid)
    text = output_of(command, site.load_cores, seconds + GRACE_SECONDS)
    used = tree_cpu_seconds(instance.pid) - before
    return read_knock(text, used)


def read_knock(text: str, cpu_seconds: float) -> Sample:
    """The figures of a report; raises ProgramFailedError where no connection ended."""
    report = json.loads(text)
    if not report["ended"]:
        raise ProgramFailedError("knock: no connection ended")
    return {
        "cpu_us": cpu_seconds / report["ended"] * 1e6,
        "rate": report["ended"] / report["seconds"],
        "answered": report["answered"],
        "cpu_seconds": cpu_seconds,
        "units": report["ended"],
    }
