"""A whole program on loopback: a scripted nameserver, servers on one port, an edge in front of them.

The configuration has one `listen edge` with one server line of the test's; addresses are those of a
network that the test names, so that tests beside each other do not meet.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4
{globally}
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    resolve_retries 1
    timeout retry 100ms
{pace}
defaults
    mode tcp
    balance roundrobin
    timeout connect 1s
    timeout client 600s
    timeout server 600s
{defaults}
listen edge
    bind {edge}:{front}
    {servers}
{more}
"""


class Site:
    """`stack` closes everything that the site opens."""

    def __init__(self, folder: Path, stack: ExitStack, network: str) -> None:
        """`network` is three octets, e.g. "127.0.50"."""
        self.folder, self.stack, self.network = folder, stack, network
        self.nameserver = stack.enter_context(ScriptedNameserver())
        self.front = (f"{network}.250", free_port())
        self.port = 0
        self.backends: dict[str, NamedBackend] = {}

    def serve(self, last: int) -> str:
        """One more server; its address."""
        backend = NamedBackend(f"{self.network}.{last}", self.port)
        self.stack.callback(backend.close)
        self.port = backend.port
        self.backends[backend.address] = backend
        return backend.address

    def configuration(
        self,
        servers: str,
        pace: str = "timeout resolve 100ms",
        defaults: str = "",
        globally: str = "",
        more: str = "",
    ) -> str:
        """`{port}` in the servers' lines is the port of the servers."""
        return CONFIGURATION.format(
            nameserver=self.nameserver.address,
            edge=self.front[0],
            front=self.front[1],
            servers=servers.replace("{port}", str(self.port)),
            pace=pace,
            defaults=defaults,
            globally=globally,
            more=more.replace("{port}", str(self.port)),
        )

    def start(self, servers: str, *, wait: bool = True, **parts: str) -> Program:
        """Run the program with these lines until the end of the test."""
        text = self.configuration(servers, **parts)
        self.program = self.stack.enter_context(Program(self.folder, text, wait=wait))
        return self.program

    def reload(self) -> None:
        """Reload the same file; returns when the new processes serve."""
        done = self.program.output.read_text().count("reload done")
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: self.program.output.read_text().count("reload done") > done, 10.0, "the reload"
        )

    def answering(self, connections: int = 4) -> set[str | None]:
        """The backends that answer so many new connections."""
        return {who_answers(self.front) for _ in range(connections)}

    def wait_answering(self, *addresses: str | None) -> None:
        """New connections reach exactly these; None is no answer."""
        wait_for(lambda: self.answering() == set(addresses), 10.0, f"{addresses} at the edge")

    def wait_states(self, *addresses: str) -> dict[str, dict[str, str]]:
        """The rows of `show servers state`, once the servers of the edge have these addresses."""

        def found() -> dict[str, dict[str, str]]:
            rows = self.program.servers("edge")
            held = sorted(row["srv_addr"] for row in rows.values() if row["srv_addr"] != "-")
            return rows if held == sorted(addresses) else {}

        return wait_for(found, 10.0, f"servers at {addresses}")
