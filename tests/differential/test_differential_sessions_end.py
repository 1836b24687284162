"""Whole programs: `on-marked-down shutdown-sessions` beside HAProxy, and `init-state`."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.differential.scenarios import Server
from tests.support.dns.scripted import NX
from tests.support.servers import Server as Echo
from tests.support.servers import echo

GLOBAL = """\
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
"""
OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
ENDS = "on-marked-down shutdown-sessions"


def section(name: str, network: str, last: int, line: str) -> str:
    return f"listen {name}\n    bind {network}.{last}:18079\n    server s1 {line}\n"


def alive(client: socket.socket) -> bool:
    """Whether the session still echoes."""
    with suppress(OSError):
        client.sendall(b"x")
        return client.recv(1) == b"x"
    return False


def survivors(command: tuple[str, ...], folder: Path, network: str) -> dict[str, bool]:
    """Which sessions outlive what happens to their server."""
    with ExitStack() as stack:
        echoing = stack.enter_context(Echo(echo, f"{network}.9"))
        host, port = echoing.address
        named = f"{port} {OPTIONS}"
        cases = {
            "lost": f"lost.test:{named} {ENDS}",
            "lost_kept": f"lost.test:{named}",
            "moved": f"moved.test:{named} {ENDS}",
            "maint": f"{host}:{port} {ENDS}",
            "maint_kept": f"{host}:{port}",
            "drain": f"{host}:{port} {ENDS}",
            "health": f"{host}:{port} {ENDS}",
            "stopping": f"{host}:{port} {ENDS}",
            "weight": f"{host}:{port} {ENDS}",
        }
        text = GLOBAL + "".join(
            section(name, network, 20 + number, line)
            for number, (name, line) in enumerate(cases.items())
        )
        zone = {"lost.test": host, "moved.test": host}
        made = stack.enter_context(one_program(command, folder, text, zone))
        wait_for(lambda: there(made, "lost", "moved"), 20, "addresses")
        clients = {}
        for number, name in enumerate(cases):
            address = (f"{network}.{20 + number}", 18079)
            clients[name] = stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
            assert alive(clients[name]), name
        made.nameserver.set("lost.test", "*", NX)
        made.nameserver.set("moved.test", "A", f"{network}.8")
        for order in (
            "maint/s1 state maint",
            "maint_kept/s1 state maint",
            "drain/s1 state drain",
            "health/s1 health down",
            "stopping/s1 health stopping",
            "weight/s1 weight 0",
        ):
            made.ask(f"set server {order}")
        wait_for(lambda: not there(made, "lost") and not there(made, "lost_kept"), 20, "no address")
        wait_for(lambda: address_of(made, "moved") == f"{network}.8", 20, "another address")
        for gone in ("lost", "maint", "health"):
            assert clients[gone].recv(1) == b"", gone
        return {name: alive(client) for name, client in clients.items()}


def address_of(made: OneProgram, backend: str) -> str:
    for line in made.ask("show servers state").splitlines()[2:]:
        fields = line.split()
        if fields and fields[1] == backend:
            return fields[4]
    raise KeyError(backend)


def there(made: OneProgram, *backends: str) -> bool:
    return all(address_of(made, backend) != "-" for backend in backends)


@pytest.mark.slow
def test_the_same_sessions_end_as_in_haproxy(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(survivors, haproxy_command(), tmp_path / "haproxy", "127.99.31")
        ours = pool.submit(survivors, millrace_command(), tmp_path / "millrace", "127.99.32")
        mine, other = ours.result(), theirs.result()
    assert mine == other
    ended = {name for name, lives in mine.items() if not lives}
    assert ended == {"lost", "maint", "health"}


def states(made: OneProgram) -> dict[str, tuple[str, str]]:
    """Operational state and health of each server."""
    return {
        name: (row["srv_op_state"], row["srv_check_health"]) for name, row in made.rows().items()
    }


@pytest.mark.slow
def test_init_state_says_how_a_server_begins_and_comes_back(tmp_path: Path) -> None:
    """Words of 3.1; the oracle of the distribution does not know them."""
    network = "127.99.33"
    lines = "".join(
        f"    server {state} {state}.test:18080 check inter 30s rise 2 fall 3 "
        f"init-state {state} {OPTIONS}\n"
        for state in ("up", "down", "fully-up", "fully-down")
    )
    text = f"{GLOBAL}listen fe\n    bind {network}.250:18079\n{lines}"
    begin = {"up": ("2", "2"), "down": ("0", "1"), "fully-up": ("2", "4"), "fully-down": ("0", "0")}
    with one_program(millrace_command(), tmp_path / "millrace", text, {}) as made:
        for name in begin:
            made.nameserver.set(f"{name}.test", "A", f"{network}.7")
        wait_for(lambda: all(row["srv_addr"] != "-" for row in made.rows().values()), 20, "names")

        def wrong() -> list[str]:
            """Those that no check has spoken of (they are spread over 30 s), begun otherwise."""
            rows = made.rows()
            unchecked = [name for name in begin if rows[name]["srv_check_status"] == "1"]
            assert {"fully-up", "fully-down"} <= set(unchecked)
            return [
                name
                for name in unchecked
                if (rows[name]["srv_op_state"], rows[name]["srv_check_health"]) != begin[name]
            ]

        wait_for(lambda: not wrong(), 5, "the health that each begins with")


@pytest.mark.slow
def test_a_server_that_must_prove_itself_gets_no_client_before(tmp_path: Path) -> None:
    network = "127.99.34"
    text = (
        f"{GLOBAL}listen fe\n    bind {network}.250:18079\n"
        f"    server s1 app.test:18080 check inter 100ms rise 3 init-state fully-down {OPTIONS}\n"
    )
    zone = {"app.test": f"{network}.7"}
    with one_program(millrace_command(), tmp_path / "millrace", text, zone) as made:
        wait_for(lambda: made.rows()["s1"]["srv_check_status"] == "8", 20, "a failed check")
        assert states(made)["s1"] == ("0", "0")
        server = Server(f"{network}.7")
        wait_for(lambda: states(made)["s1"] == ("2", "5"), 20, "three passed checks")
        made.nameserver.set("app.test", "*", NX)
        wait_for(lambda: made.rows()["s1"]["srv_addr"] == "-", 20, "the name lost")
        server.close()
        made.nameserver.set("app.test", "A", f"{network}.7")
        wait_for(lambda: made.rows()["s1"]["srv_addr"] != "-", 20, "the name back")
        assert states(made)["s1"] == ("0", "0")
