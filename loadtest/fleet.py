"""Nameservers under load: an NSD on two addresses with a generated zone.

Owns the zone, NSD's configuration and start, and its counter of questions. The zone has the names
of the load, each with one address.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.process import ProgramFailedError, output_of, running
from loadtest.programs import executable
from loadtest.site import ZONE, Site, name_of

START_SECONDS = 15.0
CONTROL_SECONDS = 10.0
RETRY_SECONDS = 0.05
SOA_QUERY = (  # id 1, one question: the zone's SOA record, class IN
    b"\0\1\0\0\0\1\0\0\0\0\0\0"
    + b"".join(bytes([len(label)]) + label.encode("ascii") for label in ZONE.split("."))
    + b"\0\0\6\0\1"
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The running nameservers."""

    configuration: Path
    cores: frozenset[int]

    def questions(self) -> int:
        """The number of questions received since the start, by NSD's counter."""
        command = (_control(), "-c", str(self.configuration), "stats_noreset")
        text = output_of(command, self.cores, CONTROL_SECONDS)
        for line in text.splitlines():
            if line.startswith("num.queries="):
                return int(line.partition("=")[2])
        raise ProgramFailedError("nsd-control: no count of queries")


def _control() -> str:
    path = executable("nsd-control")
    if path is None:
        raise ProgramFailedError("nsd-control is not installed")
    return path


def zone_text(names: int) -> str:
    """A zone of that many names, each with an address of its own."""
    lines = [
        f"$ORIGIN {ZONE}.",
        "$TTL 60",
        f"@ IN SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 60 60",
        f"@ IN NS ns.{ZONE}.",
        "ns IN A 127.0.0.1",
    ]
    lines += [
        f"{name_of(number)}. IN A 127.120.{number >> 8 & 0xFF}.{number & 0xFF}"
        for number in range(names)
    ]
    return "\n".join(lines) + "\n"


def _configuration(site: Site, folder: Path) -> str:
    addresses = "\n".join(f"    ip-address: {each.host}@{each.port}" for each in site.nameservers)
    return f"""\
server:
{addresses}
    server-count: 1
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    xfrdir: "{folder}"
    logfile: "{folder}/nsd.log"
    rrl-ratelimit: 0
remote-control:
    control-enable: yes
    control-interface: {folder}/control
zone:
    name: {ZONE}
    zonefile: "{folder}/zone.txt"
"""


@contextmanager
def nameservers(site: Site, names: int) -> Iterator[Fleet]:
    """Serve `names` names on all nameserver addresses while the block lasts."""
    path = executable("nsd")
    if path is None:
        raise ProgramFailedError("the nameservers need nsd, which is not installed")
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as name:
        folder = Path(name)
        (folder / "zone.txt").write_text(zone_text(names), encoding="ascii")
        configuration = folder / "nsd.conf"
        configuration.write_text(_configuration(site, folder), encoding="ascii")
        with (folder / "output").open("wb") as output:
            command = (path, "-d", "-c", str(configuration))
            with running(command, site.load_cores, output) as child:
                _await_answer(child, site, folder / "output")
                yield Fleet(configuration, site.load_cores)


def _await_answer(child: subprocess.Popen[bytes], site: Site, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(RETRY_SECONDS)
        probe.connect((site.nameservers[-1].host, site.nameservers[-1].port))
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(OSError):
                probe.send(SOA_QUERY)
                if probe.recv(512)[3] & 0xF == 0:  # rcode: the zone is loaded
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(RETRY_SECONDS)
    raise ProgramFailedError(f"nsd does not answer: {output.read_text(errors='replace')}")
