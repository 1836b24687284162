"""A real NSD, authoritative for one zone in its own folder; its records change while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.message
import dns.query

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for

CONFIGURATION = """
server:
    ip-address: {address}
    port: {port}
    server-count: 1
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    xfrdir: "{folder}"
    logfile: "{folder}/nsd.log"
    hide-version: yes
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: "{folder}/zone.txt"
"""


class Nsd:
    """One NSD serving `zone` on `address`; `set_records` replaces the zone's records."""

    def __init__(self, folder: Path, zone: str, records: Iterable[str], address: str) -> None:
        program = require_program("nsd")
        self.folder, self.zone, self.address = folder, zone, address
        self.port = free_port()
        self.serial = 0
        self.write(records)
        configuration = folder / "nsd.conf"
        configuration.write_text(
            CONFIGURATION.format(address=address, port=self.port, folder=folder, zone=zone)
        )
        self.process = subprocess.Popen(
            [program, "-d", "-c", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.wait_for_serial()
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        """As a `nameserver` line takes it."""
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )

    def write(self, records: Iterable[str]) -> None:
        self.serial += 1
        lines = [
            f"$ORIGIN {self.zone}.",
            "$TTL 1",
            f"@ IN SOA ns.{self.zone}. admin.{self.zone}. {self.serial} 60 60 60 1",
            f"@ IN NS ns.{self.zone}.",
            f"ns IN {'AAAA' if ':' in self.address else 'A'} {self.address}",
            *records,
        ]
        (self.folder / "zone.txt").write_text("\n".join(lines) + "\n")

    def set_records(self, records: Iterable[str]) -> None:
        """Replace the zone; returns once NSD answers with it."""
        self.write(records)
        # NSD compares whole seconds of the file's time stamp
        stamp = 1_000_000_000 + self.serial
        os.utime(self.folder / "zone.txt", (stamp, stamp))
        self.process.send_signal(signal.SIGHUP)
        self.wait_for_serial()

    def served_serial(self) -> int:
        """The serial that NSD answers with, 0 while it does not answer."""
        query = dns.message.make_query(f"{self.zone}.", "SOA")
        try:
            reply = dns.query.udp(query, self.address, timeout=0.5, port=self.port)
            return int(reply.answer[0][0].serial)
        except (dns.exception.DNSException, OSError, IndexError):
            return 0

    def wait_for_serial(self) -> None:
        wait_for(lambda: self.served_serial() == self.serial, 10.0, "the zone in NSD", step=0.02)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Nsd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
