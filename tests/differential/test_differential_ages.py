"""`srv_time_since_last_change`: what counts as a change of a server's state, as in HAProxy."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.differential.scenarios import Server
from tests.support.dns.scripted import NX

NAMES = [
    "same",
    "moved",
    "lost",
    "back",
    "addr",
    "weight",
    "maint",
    "ready",
    "drain",
    "drained",
    "health",
    "healed",
    "weak",
    "moved_in_maint",
]
AGED_SECONDS = 6  # before anything happens: far from what has just changed
CONFIGURATION = """\
global
    nbthread 1
    stats socket {folder}/s level admin
    .if version_atleast(3.2)
    dns-accept-family ipv4,ipv6
    .endif
defaults
    mode tcp
    balance roundrobin
    timeout connect 1s
    timeout client 600s
    timeout server 600s
resolvers r1
    nameserver ns1 {nameserver}
    accepted_payload_size 8192
    resolve_retries 1
    timeout resolve 100ms
    timeout retry 100ms
    hold nx 100ms
listen fe
    bind NET.250:18079
"""
OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"


def configuration(network: str) -> str:
    lines = [f"    server {name} {name}.test:80 {OPTIONS}\n" for name in NAMES]
    lines.append(f"    server checked dead.test:18080 check inter 100ms {OPTIONS}\n")
    return (CONFIGURATION + "".join(lines)).replace("NET", network)


def act(made: OneProgram) -> None:
    """Everything at once, each to a server of its own."""
    for name in ("moved", "moved_in_maint"):
        made.nameserver.set(f"{name}.test", "A", "127.99.3.1")
    for name in ("lost", "back"):
        made.nameserver.set(f"{name}.test", "*", NX)
    for order in (
        "addr addr 127.99.3.2",
        "weight weight 50%",
        "maint state maint",
        "ready state ready",
        "drain state drain",
        "drained state ready",
        "health health down",
        "healed health up",
        "weak weight 0",
    ):
        made.ask(f"set server fe/{order}")


def changed(command: tuple[str, ...], folder: Path, network: str) -> set[str]:
    """The servers whose state began while everything happened, or after it."""
    zone = {f"{name}.test": f"127.99.2.{number}" for number, name in enumerate(NAMES, 1)}
    zone["dead.test"] = f"{network}.7"
    server = Server(f"{network}.7")
    with one_program(command, folder, configuration(network), zone) as made:
        wait_for(lambda: "-" not in addresses(made).values(), 20, "all addresses")
        for order in ("ready state maint", "drained state drain", "healed health down"):
            made.ask(f"set server fe/{order}")
        made.ask("set server fe/moved_in_maint state maint")
        wait_for(lambda: youngest(made) >= AGED_SECONDS, 20, "states of some age", 0.1)
        began = time.monotonic()
        server.close()
        act(made)
        wait_for(lambda: happened(made), 10, "what was to happen")
        made.nameserver.set("back.test", "A", "127.99.3.3")
        wait_for(lambda: addresses(made)["back"] == "127.99.3.3", 10, "the name that is back")
        acted = time.monotonic()
        wait_for(lambda: time.monotonic() > acted + 0.5, 2, "half a second")
        ages = {name: int(row["srv_time_since_last_change"]) for name, row in made.rows().items()}
        young = time.monotonic() - began + AGED_SECONDS / 2
        return {name for name, age in ages.items() if age < young}


def addresses(made: OneProgram) -> dict[str, str]:
    return {name: row["srv_addr"] for name, row in made.rows().items()}


def youngest(made: OneProgram) -> int:
    return min(int(row["srv_time_since_last_change"]) for row in made.rows().values())


def happened(made: OneProgram) -> bool:
    found = made.rows()
    there = {name: row["srv_addr"] for name, row in found.items()}
    gone = there["lost"] == there["back"] == "-"
    return gone and there["moved"] == "127.99.3.1" and found["checked"]["srv_op_state"] == "0"


@pytest.mark.slow
def test_the_age_of_a_state_begins_anew_with_the_same_events(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(changed, haproxy_command(), tmp_path / "haproxy", "127.99.21")
        ours = pool.submit(changed, millrace_command(), tmp_path / "millrace", "127.99.22")
        mine, other = ours.result(), theirs.result()
    assert mine == other
    assert {"lost", "back", "maint"} <= mine
    assert {"same", "moved"}.isdisjoint(mine)
