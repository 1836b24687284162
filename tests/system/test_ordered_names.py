"""`set server <b>/<s> fqdn` for servers given by address whose lines have `resolvers`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import NX, ScriptedNameserver, records
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers r1
    nameserver ns1 {nameserver}
    timeout resolve 100ms
    timeout retry 100ms
    hold obsolete 0s
    hold nx 0s
listen edge
    bind 127.0.0.1:{port}
    server s1 127.0.1.1:81 resolvers r1
    server s2 127.0.1.2:81 resolvers r1 resolve-prefer ipv4
    server s3 127.0.1.3:81
"""
NAME = "app.test"
ACCEPTED = "edge/s1 changed its FQDN from (null) to app.test by 'stats socket command'\n\n"
REFUSED = "set server <b>/<s> fqdn failed because no resolution is configured.\n\n"


def configuration(nameserver: ScriptedNameserver, port: int) -> str:
    return CONFIGURATION.format(nameserver=nameserver.address, port=port)


def addresses(program: Program) -> dict[str, tuple[str, str]]:
    return {
        name: (row["srv_addr"], row["srv_fqdn"]) for name, row in program.servers("edge").items()
    }


def wait_addresses(program: Program, address: str) -> None:
    wanted = {
        "s1": (address, NAME),
        "s2": ("127.0.1.2", "-"),
        "s3": ("127.0.1.3", "-"),
    }
    wait_for(lambda: addresses(program) == wanted, 10, f"s1 at {address}, and no other elsewhere")


def test_a_name_that_was_ordered_feeds_a_server_that_has_an_address(tmp_path: Path) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(NAME, "A", records("127.0.2.1"))
        with Program(tmp_path, configuration(nameserver, free_port())) as program:
            assert program.ask("set server edge/s3 fqdn app.test") == REFUSED
            assert program.ask("set server edge/s1 fqdn app.test") == ACCEPTED
            wait_addresses(program, "127.0.2.1")
            assert NAME in program.ask("show resolution")
            assert NAME in program.ask("show why edge/s1")
            assert "not asked for" in program.ask("show why edge/s2")
            nameserver.set(NAME, "A", records("127.0.2.2"))
            wait_addresses(program, "127.0.2.2")
            same = "no need to change the FDQN by 'stats socket command'\n\n"
            assert program.ask("set server edge/s1 fqdn App.test.") == same


def test_the_order_outlives_resolverd_and_a_reload(tmp_path: Path) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(NAME, "A", records("127.0.2.1"))
        with Program(tmp_path, configuration(nameserver, free_port()), "-W") as program:
            assert program.ask("set server edge/s1 fqdn app.test") == ACCEPTED
            wait_addresses(program, "127.0.2.1")
            os.kill(program.children()["resolverd"][0], signal.SIGKILL)
            nameserver.set(NAME, "A", records("127.0.2.2"))
            wait_addresses(program, "127.0.2.2")
            program.process.send_signal(signal.SIGUSR2)
            wait_for(lambda: "reload done" in program.output.read_text(), 10, "the reload")
            nameserver.set(NAME, "A", records("127.0.2.3"))
            wait_addresses(program, "127.0.2.3")


def test_a_server_whose_ordered_name_is_denied_is_out(tmp_path: Path) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(NAME, "A", records("127.0.2.1"))
        with Program(tmp_path, configuration(nameserver, free_port())) as program:
            program.ask("set server edge/s1 fqdn app.test")
            wait_addresses(program, "127.0.2.1")
            nameserver.set(NAME, "A", NX)
            wait_for(lambda: addresses(program)["s1"] == ("-", NAME), 10, "no address")
            assert ",MAINT (resolution)," in program.ask("show stat edge 4 1")
            nameserver.set(NAME, "A", records("127.0.2.4"))
            wait_addresses(program, "127.0.2.4")
