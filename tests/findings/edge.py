"""The whole program in front of named TCP servers, at a quick pace, for what users reported.

One listener `edge`, one scripted nameserver; the servers' addresses lie in a loopback network of the
test's own, so that tests may run beside one another.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    log stdout format raw local0
    {accepts}
resolvers r1
    nameserver ns1 {nameserver}
    resolve_retries 1
    timeout retry 200ms
{section}
defaults
    mode tcp
    log global
    timeout connect 300ms
    timeout client 600s
    timeout server 600s
    timeout check 300ms
listen edge
    bind {front}:{port}
{servers}
"""
PACE = "    timeout resolve 50ms"


class Edge:
    """A nameserver and named servers on one port; `start` runs the program before them."""

    def __init__(self, folder: Path, stack: ExitStack, network: str, count: int) -> None:
        """`network` are three octets; servers are its .1, .2 ..., the edge is its .200."""
        self.folder, self.stack = folder, stack
        self.nameserver = stack.enter_context(ScriptedNameserver(f"{network}.53"))
        self.addresses = [f"{network}.{number}" for number in range(1, count + 1)]
        self.front = (f"{network}.200", free_port())
        self.backends: dict[str, NamedBackend] = {}
        self.port = 0
        for address in self.addresses:
            backend = NamedBackend(address, self.port)
            self.port = backend.port
            self.backends[address] = backend
            stack.callback(backend.close)

    def start(
        self, *servers: str, section: str = PACE, accepts: str = "dns-accept-family ipv4"
    ) -> Program:
        """Server lines may hold `{port}`: the one of the named servers."""
        text = CONFIGURATION.format(
            nameserver=self.nameserver.address,
            accepts=accepts,
            section=section,
            front=self.front[0],
            port=self.front[1],
            servers="\n".join(f"    {line.format(port=self.port)}" for line in servers),
        )
        return self.stack.enter_context(Program(self.folder, text))

    def who(self, connections: int) -> set[str | None]:
        """The backends that answer so many connections, one by one; None: no answer."""
        return {who_answers(self.front) for _ in range(connections)}

    def wait_for(self, *addresses: str | None) -> None:
        """Wait until a few connections reach exactly these."""
        wanted = set(addresses)
        wait_for(lambda: self.who(3 * len(wanted)) == wanted, 10.0, f"{wanted} behind the edge")
