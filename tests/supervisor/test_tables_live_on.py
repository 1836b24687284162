"""Stick tables of the whole program: over reloads, deaths of workers, and servers that DNS moves."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, greet, who_answers

pytestmark = pytest.mark.slow
SERVERS = ("127.61.0.1", "127.61.0.2", "127.61.0.3")
HEAD = """global
  stats socket {socket} level admin
  nbthread 2
defaults
  mode tcp
  balance first
  timeout connect 2s
  timeout client 60s
  timeout server 60s
"""
TABLE = "stick-table type ip size 1k expire 1h"


@pytest.fixture
def backends() -> Iterator[list[NamedBackend]]:
    """Three servers at one port."""
    made = [NamedBackend(SERVERS[0], 0)]
    made += [NamedBackend(address, made[0].port) for address in SERVERS[1:]]
    yield made
    for backend in made:
        backend.close()


def configuration(
    backends: list[NamedBackend], port: int, table: str = TABLE, names: str = "abc"
) -> str:
    servers = "".join(
        f"  server {name} {backend.address}:{backend.port}\n"
        for name, backend in zip(names, backends, strict=False)
    )
    return f"{HEAD}listen web\n  bind 127.0.0.1:{port}\n  {table}\n  stick on src\n{servers}"


def named(program: Program) -> str:
    """The server that the one entry names."""
    found = re.search(r"server_key=(\S+)", program.ask("show table web"))
    return found[1] if found else ""


def reload(program: Program, configuration: str) -> None:
    before = program.children()
    done = program.output.read_text().count("reload done")
    program.write(configuration)
    program.process.send_signal(signal.SIGUSR2)
    wait_for(
        lambda: program.output.read_text().count("reload done") > done, 20, "the reload is done"
    )
    former = {*before["worker"], *before["control"]}
    wait_for(
        lambda: not former & {pid for pids in program.children().values() for pid in pids},
        20,
        "the former generation is gone",
    )
    program.wait_until_answering()


def test_entries_live_on_over_reloads_and_know_servers_by_name(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    port = free_port()
    target = ("127.0.0.1", port)
    with Program(tmp_path, configuration(backends, port)) as program:
        program.ask("set table web key 127.0.0.1 data.server_id 2")
        assert who_answers(target) == SERVERS[1]
        assert named(program) == "b"
        turned = [backends[2], backends[1], backends[0]]
        reload(program, configuration(turned, port, names="cba"))
        assert who_answers(target) == SERVERS[1]
        reload(program, configuration(backends[2:] + backends[1:2], port, names="cb"))
        assert who_answers(target) == SERVERS[1], "its slot is another, its name is not"
        reload(program, configuration(backends, port, table=f"{TABLE} nopurge"))
        assert who_answers(target) == SERVERS[1], "nopurge is no matter of the memory"
        reload(program, configuration(backends, port, table="stick-table type ip size 2k"))
        assert "begins empty" in program.output.read_text()
        assert who_answers(target) == SERVERS[0]


def test_old_sessions_and_new_ones_share_a_table(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    """A worker of the former generation that still has a session does not hold the table up."""
    port = free_port()
    with Program(tmp_path, configuration(backends, port)) as program:
        former = program.children()["worker"]
        greeted = greet(("127.0.0.1", port))
        assert greeted is not None
        program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: len(program.titled_children().get("worker", [])) == 3,
            20,
            "two new workers beside the one that has a session",
        )
        program.ask("clear table web; set table web key 127.0.0.1 data.server_id 3")
        wait_for(lambda: who_answers(("127.0.0.1", port)) == SERVERS[2], 10, "the new ones know it")
        assert set(former) & set(program.children()["worker"])
        greeted[1].close()


def test_entries_outlive_all_workers_and_control(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    port = free_port()
    with Program(tmp_path, configuration(backends, port)) as program:
        program.ask("set table web key 127.0.0.1 data.server_id 3")
        assert who_answers(("127.0.0.1", port)) == SERVERS[2]
        for kind in ("worker", "control"):
            for pid in program.children()[kind]:
                os.kill(pid, signal.SIGKILL)
                wait_for(
                    lambda pid=pid, kind=kind: pid not in program.children().get(kind, [pid]),
                    20,
                    "it was replaced",
                )
        program.wait_until_answering()
        for _ in range(20):  # by either worker
            assert who_answers(("127.0.0.1", port)) == SERVERS[2]
        assert named(program) == "c"


@pytest.mark.lengthy
def test_a_slot_that_dns_has_given_to_another_machine_is_not_the_server_of_an_entry(
    tmp_path: Path, backends: list[NamedBackend]
) -> None:
    port = free_port()
    target = ("127.0.0.1", port)
    with ScriptedNameserver() as nameserver:
        nameserver.set("web.test", "A", SERVERS[0])
        text = (
            f"{HEAD}resolvers dns\n  nameserver one {nameserver.address}\n"
            "  timeout resolve 100ms\n  hold valid 100ms\n  hold obsolete 100ms\n  hold nx 100ms\n"
            f"listen web\n  bind 127.0.0.1:{port}\n  {TABLE}\n  stick on src\n"
            f"  server a {SERVERS[2]}:{backends[0].port} weight 1\n"
            f"  server-template s 1 web.test:{backends[0].port} resolvers dns init-addr none\n"
        )
        with Program(tmp_path, text) as program:
            wait_for(
                lambda: program.servers("web")["s1"]["srv_addr"] == SERVERS[0], 20, "an address"
            )
            program.ask("set table web key 127.0.0.1 data.server_id 2")
            assert who_answers(target) == SERVERS[0]
            assert named(program) == "s1"
            nameserver.set("web.test", "A", [])
            wait_for(
                lambda: SERVERS[0] != program.servers("web")["s1"]["srv_addr"], 20, "it lost it"
            )
            nameserver.set("web.test", "A", SERVERS[1])
            wait_for(
                lambda: program.servers("web")["s1"]["srv_addr"] == SERVERS[1], 20, "another one"
            )
            assert who_answers(target) == SERVERS[2], "the entry spoke of another machine"
            assert named(program) == "a"
