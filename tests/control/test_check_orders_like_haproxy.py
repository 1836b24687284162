"""`set server b/s check-addr|check-port`: HAProxy's answers and rows, and where checks really go."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.program.program import Program
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {folder}/s level admin
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen be
  bind abns@millrace-aims-{folder}
  server s1 127.0.0.1:9 check
  server s2 127.0.0.1:9 check port 11 addr 127.0.0.3
  server s3 127.0.0.1:9 check addr 127.0.0.3:12
  server s4 127.0.0.1:9 track s1
  server s5 127.0.0.1:9
  server s6 127.0.0.1:9 check disabled
"""
ORDERS = (
    *("s1 check-port", "s1 check-port x", "s1 check-port 70000", "s1 check-port -1"),
    *("s1 check-port 8", "s1 check-port 0", "s1 check-port 07", "s1 check-port 8 more"),
    *("s1 check-addr", "s1 check-addr foo", "s1 check-addr localhost", "s1 check-addr unix@/x"),
    *("s1 check-addr 127.0.0.9 port 99999", "s1 check-addr 127.0.0.9 port", "s1 check-addr /x"),
    *("s1 check-addr 127.0.0.2 prt 8", "s1 check-addr 127.0.0.2", "s1 check-addr 127.0.0.1:80"),
    *("s2 check-port 0", "s3 check-port 0", "s2 check-addr 127.0.0.7", "s3 check-addr ::1"),
    *("s2 check-addr 127.0.0.8 port 14", "s4 check-port 7", "s4 check-addr ::1"),
    *("s5 check-port 7", "s5 check-addr ::1", "s6 check-port 7", "s6 check-addr 127.0.0.4 port 0"),
    *("s1 check-addr 0.0.0.0", "s6 check-addr *", "nope check-port 1"),
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OneProgram]]:
    folder = tmp_path_factory.mktemp("aims")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(one_program(command(), folder / name, CONFIGURATION, {}))
            for name, command in PROGRAMS.items()
        }


def said(made: OneProgram, order: str) -> list[str]:
    """Without empty lines: HAProxy forgets the end of some of these."""
    return list(filter(None, made.ask(order).splitlines()))


def aims(made: OneProgram) -> dict[str, tuple[str, str]]:
    return {
        name: (row["srv_check_addr"], row["srv_check_port"]) for name, row in made.rows().items()
    }


def test_answers_and_rows_are_haproxys(programs: dict[str, OneProgram]) -> None:
    for order in ORDERS:
        theirs, ours = (said(made, f"set server be/{order}") for made in programs.values())
        assert ours == theirs, order
        theirs_rows, our_rows = (aims(made) for made in programs.values())
        assert our_rows == theirs_rows, order


def test_severities_are_haproxys(programs: dict[str, OneProgram]) -> None:
    wrong = ("s1 check-port x", "s1 check-addr x", "s5 check-port 1", "s1 check-port")
    line = "set severity-output number;" + ";".join(f"set server be/{each}" for each in wrong)
    theirs, ours = (said(made, line) for made in programs.values())
    assert ours == theirs


# -- where checks go ----------------------------------------------------------------------------

RUNNING = """
global
  stats socket {{socket}} level admin
  nbthread 2
  spare-servers 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen be
  bind 127.0.0.1:{port}
  option tcp-check
  tcp-check connect
  tcp-check send x
  server s1 127.0.0.1:{dead} check inter 50ms{words}
  server s2 127.0.0.1:{dead} check inter 50ms{words}
"""


class Site:
    """Two servers that are dead, and two places where checks would find something."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.first, self.second = (
            stack.enter_context(Server(lambda connection: None, host))
            for host in ("127.78.23.1", "127.78.23.2")
        )
        self.fields = {"port": free_port(), "dead": free_port(), "words": ""}
        self.program = stack.enter_context(Program(folder, RUNNING.format(**self.fields)))
        self.is_up("s1", "0")
        self.is_up("s2", "0")

    def order(self, text: str) -> None:
        assert self.program.ask(f"set server be/{text}") == "\n"

    def is_up(self, name: str, state: str = "2") -> None:
        def reached() -> bool:
            return self.program.servers("be")[name]["srv_op_state"] == state

        wait_for(reached, 15, f"{name} has state {state}")

    def reload(self, **fields: str) -> None:
        generation = int(self.metric("generation"))
        self.program.write(RUNNING.format(**{**self.fields, **fields}))
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: int(self.metric("generation")) > generation, 15, "the reload is done")

    def metric(self, name: str) -> str:
        lines = self.program.ask("show proc debug").splitlines()
        return lines[lines.index("# workers") + 1].split()[5]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


def test_checks_go_where_they_are_ordered_to(site: Site) -> None:
    site.order(f"s1 check-addr {site.first.host} port {site.first.port}")
    site.is_up("s1")
    assert site.program.servers("be")["s2"]["srv_op_state"] == "0"
    counted = site.first.accepted
    site.order(f"s1 check-addr {site.second.host} port {site.second.port}")
    wait_for(lambda: site.second.accepted > 3, 10, "checks have moved")
    assert site.first.accepted <= counted + 1
    site.order("s1 check-port 1")
    site.is_up("s1", "0")
    site.order("s1 check-addr 0.0.0.0 port 0")  # as the server itself
    site.order(f"s2 check-addr {site.first.host} port {site.first.port}")
    site.is_up("s2")
    assert site.program.servers("be")["s1"]["srv_op_state"] == "0"


def test_who_ordered_it_is_an_event(site: Site) -> None:
    site.order(f"s1 check-addr {site.first.host} port {site.first.port}")
    where = f"127.0.0.1:{site.fields['dead']} -> {site.first.host}:{site.first.port}"
    assert f"[check {where}]\n" in site.program.ask("show events state")


def test_an_order_outlives_workers_control_and_reloads(site: Site) -> None:
    place = f"check-addr {site.first.host} port {site.first.port}"
    site.order(f"s1 {place}")
    site.order(f"s2 {place}")
    site.is_up("s1")
    for kind in ("worker", "control"):
        for pid in site.program.children()[kind]:
            os.kill(pid, signal.SIGKILL)
    site.program.wait_until_answering()
    counted = site.first.accepted
    wait_for(lambda: site.first.accepted > counted + 4, 15, "the successors go on there")
    row = site.program.servers("be")["s2"]
    assert (row["srv_check_addr"], row["srv_check_port"]) == (site.first.host, str(site.first.port))
    site.reload()
    counted = site.first.accepted
    wait_for(lambda: site.first.accepted > counted + 4, 15, "the next generation goes on there")
    site.is_up("s2")
    site.reload(words=" port 1")  # the file says something else about it now
    site.is_up("s2", "0")
    assert site.program.servers("be")["s2"]["srv_check_addr"] == "-"


def test_a_server_that_is_added_anew_has_no_order(site: Site) -> None:
    ask = site.program.ask
    for _ in range(2):
        ask(f"add server be/n 127.0.0.1:{site.fields['dead']} check")
        assert site.program.servers("be")["n"]["srv_check_addr"] == "-"
        site.order(f"n check-addr {site.first.host}")
        assert site.program.servers("be")["n"]["srv_check_addr"] == site.first.host
        assert "deleted" in ask("del server be/n")
