"""`on-removed` end to end: a nameserver moves and removes addresses, sessions stay or end by the word.

One name feeds three sections, each with another word; two workers relay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import NX, ScriptedNameserver, services
from tests.support.program.program import NamedBackend, Program, greet

ONE, TWO, OTHER = "127.0.35.1", "127.0.35.2", "127.0.35.3"
EDGE = "127.0.35.9"
LABEL = "_web._tcp.app.test"
DRAIN_S = 1.0
SESSIONS = 8  # of each section: both workers have some
WORDS = {"keep": "", "drain": f"on-removed drain {DRAIN_S:.0f}s", "shutdown": "on-removed shutdown"}

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    dns-accept-family ipv4
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    timeout resolve 100ms
    timeout retry 100ms
    resolve_retries 1
    hold nx 0s
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
"""
SECTION = """
listen {name}
    bind {edge}:{listen}
    server-template s 2 {what} resolvers r1 init-addr none {word}
"""


class Site:
    """The program, its nameserver, three servers, and the sessions of each section."""

    def __init__(self, folder: Path, what: str, stack: ExitStack) -> None:
        self.stack = stack
        first = NamedBackend(ONE, 0)
        stack.callback(first.close)
        self.port = first.port
        for address in (TWO, OTHER):
            stack.callback(NamedBackend(address, self.port).close)
        self.nameserver = stack.enter_context(ScriptedNameserver())
        self.listening = {name: (EDGE, free_port()) for name in WORDS}
        text = CONFIGURATION.format(nameserver=self.nameserver.address)
        for name, word in WORDS.items():
            text += SECTION.format(
                name=name, edge=EDGE, listen=self.listening[name][1], word=word,
                what=what.format(port=self.port),
            )  # fmt: skip
        self.text = text
        self.folder = folder

    def start(self, *addresses: str) -> Program:
        """Run until both servers of every section have their address."""
        self.program = self.stack.enter_context(Program(self.folder, self.text))
        self.wait_addresses(*addresses)
        return self.program

    def wait_addresses(self, *addresses: str) -> None:
        """Every section's servers are at these addresses."""
        wait_for(
            lambda: all(
                {row["srv_addr"] for row in self.program.servers(name).values()} - {"-"}
                == set(addresses)
                for name in WORDS
            ),
            10,
            f"servers at {addresses}",
        )

    def sessions(self, name: str) -> Sessions:
        """New sessions of a section."""
        return Sessions(self.listening[name], self.stack)


class Sessions:
    """Sessions of one section, by the server that greeted them."""

    def __init__(self, target: tuple[str, int], stack: ExitStack) -> None:
        self.open = []
        for _ in range(SESSIONS):
            greeted = greet(target)
            assert greeted is not None
            stack.callback(greeted[1].close)
            self.open.append(greeted)

    def alive(self, address: str) -> list[bool]:
        """Which sessions of a server still echo."""
        found = []
        for server, client in self.open:
            if server == address:
                try:
                    client.sendall(b"?")
                    found.append(client.recv(10) == b"?")
                except OSError:
                    found.append(False)
        return found

    def all_alive(self, address: str) -> bool:
        """Whether every session of a server still echoes."""
        alive = self.alive(address)
        assert alive
        return all(alive)

    def wait_ended(self, address: str) -> None:
        """Every session of a server ends."""
        wait_for(lambda: not any(self.alive(address)), 10, f"the end of sessions to {address}")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes everything at the end."""
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("gone", ["moved", "removed", "nx"])
def test_each_word_does_its_own_and_a_killed_resolverd_changes_nothing(
    tmp_path: Path, stack: ExitStack, gone: str
) -> None:
    site = Site(tmp_path, "app.test:{port}", stack)
    site.nameserver.set("app.test", "A", [ONE, TWO])
    program = site.start(ONE, TWO)
    before = {name: site.sessions(name) for name in WORDS}
    left = {"moved": [OTHER, TWO], "removed": [TWO], "nx": []}[gone]
    site.nameserver.set("app.test", "A", left or NX)
    began = time.monotonic()
    site.wait_addresses(*left)
    before["shutdown"].wait_ended(ONE)
    os.kill(program.children()["resolverd"][0], signal.SIGKILL)
    assert before["keep"].all_alive(ONE)
    before["drain"].wait_ended(ONE)
    assert time.monotonic() - began >= DRAIN_S
    if gone == "nx":
        before["drain"].wait_ended(TWO)
        before["shutdown"].wait_ended(TWO)
        assert before["keep"].all_alive(TWO)
        site.nameserver.set("app.test", "A", [ONE, TWO])
        site.wait_addresses(ONE, TWO)
    else:
        assert all(before[name].all_alive(TWO) for name in WORDS)
    after = {name: site.sessions(name) for name in WORDS}
    assert all(after[name].all_alive(TWO) for name in WORDS)
    assert before["keep"].all_alive(ONE)
    assert before["keep"].all_alive(TWO)


def test_a_record_that_returns_within_the_drain_keeps_its_sessions(
    tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, LABEL, stack)
    both = services(f"1 {site.port} h1.test", f"1 {site.port} h2.test", h1_test=ONE, h2_test=TWO)
    site.nameserver.set(LABEL, "SRV", both)
    site.start(ONE, TWO)
    before = {name: site.sessions(name) for name in WORDS}
    site.nameserver.set(LABEL, "SRV", services(f"1 {site.port} h1.test", h1_test=ONE))
    site.wait_addresses(ONE)
    before["shutdown"].wait_ended(TWO)
    site.nameserver.set(LABEL, "SRV", both)
    site.wait_addresses(ONE, TWO)
    # the next removal's time is up later than the first one's would have been
    site.nameserver.set(LABEL, "SRV", services(f"1 {site.port} h2.test", h2_test=TWO))
    before["drain"].wait_ended(ONE)
    assert before["drain"].all_alive(TWO)
    assert before["keep"].all_alive(ONE)
