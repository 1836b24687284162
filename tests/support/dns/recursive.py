"""Real nameservers between Millrace and the authoritative one: Unbound, which caches, and dnsmasq.

Each runs in its own folder on an address of its own, and ends with the test. Unbound asks an NSD
for its zone and keeps answers for their TTL, which it counts down; it turns the order of records
with every answer. Outside of that zone no name exists, and no other server is asked. dnsmasq serves what a hosts file says, and reads it again when told.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.message
import dns.query
import dns.rrset

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.nsd import Nsd

UNBOUND = """
server:
    interface: {address}
    port: {port}
    do-udp: {udp}
    num-threads: 1
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: "{folder}/unbound.pid"
    logfile: "{folder}/unbound.log"
    use-syslog: no
    do-daemonize: no
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    local-zone: "." static
    local-zone: "{zone}." transparent
    rrset-roundrobin: yes
remote-control:
    control-enable: no
stub-zone:
    name: "{zone}"
    stub-addr: {authority}@{authority_port}
"""


class RealNameserver:
    """A process that answers on `address` and `port`; a context manager."""

    def __init__(self, command: list[str], address: str, port: int, over_tcp: bool) -> None:
        self.address, self.port, self.over_tcp = address, port, over_tcp
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def endpoint(self) -> str:
        """As a `nameserver` line takes it."""
        return f"{'tcp@' if self.over_tcp else ''}{self.address}:{self.port}"

    def answer(self, name: str, kind: str) -> dns.rrset.RRset | None:
        """The records that it has now, in its order; None while it does not answer."""
        query = dns.message.make_query(name, kind)
        ask = dns.query.tcp if self.over_tcp else dns.query.udp
        try:
            reply = ask(query, self.address, timeout=1.0, port=self.port)
        except (dns.exception.DNSException, OSError):
            return None
        return reply.answer[0] if reply.answer else None

    def __enter__(self) -> RealNameserver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def unbound(
    folder: Path, nsd: Nsd, address: str, over_tcp: bool = False, port: int = 0
) -> RealNameserver:
    """An Unbound in front of the NSD; `over_tcp`: it does not even listen for datagrams."""
    program, port = require_program("unbound"), port or free_port()
    configuration = folder / "unbound.conf"
    configuration.write_text(
        UNBOUND.format(
            address=address,
            port=port,
            udp="no" if over_tcp else "yes",
            folder=folder,
            zone=nsd.zone,
            authority=nsd.address,
            authority_port=nsd.port,
        )
    )
    started = RealNameserver([program, "-d", "-c", str(configuration)], address, port, over_tcp)
    wait_for(lambda: started.answer(f"ns.{nsd.zone}", "A"), 10.0, "Unbound", step=0.05)
    return started


class Dnsmasq(RealNameserver):
    """A dnsmasq that serves a hosts file and fixed SRV records (its own `srv-host` form)."""

    def __init__(
        self, folder: Path, hosts: Iterable[str], services: Iterable[str], address: str
    ) -> None:
        self.hosts = folder / "hosts"
        self.hosts.write_text("\n".join(hosts) + "\n")
        port = free_port()
        command = [
            require_program("dnsmasq"),
            *("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
            *("--bind-interfaces", f"--listen-address={address}", f"--port={port}"),
            *(f"--addn-hosts={self.hosts}", "--local-ttl=1", "--local=/test/"),
            *(f"--pid-file={folder / 'dnsmasq.pid'}", "--user=", "--group="),
            *(f"--srv-host={service}" for service in services),
        ]
        super().__init__(command, address, port, over_tcp=False)

    def set_hosts(self, hosts: Iterable[str]) -> None:
        """Replace the hosts file and have it read."""
        self.hosts.write_text("\n".join(hosts) + "\n")
        self.process.send_signal(signal.SIGHUP)
