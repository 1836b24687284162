"""resolv.conf changes under a running program: it follows, and shows the nameservers it asks (M15, root)."""

from __future__ import annotations

import csv
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.resolv_conf import Etc, nameserver_at_port_53
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

EDGE = "127.86.0.1"
ADDRESSES = ["127.86.1.1", "127.86.1.2"]
CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4
    log stdout format raw local0
    {more}
resolvers r1
    nameserver own {own}
    parse-resolv-conf
    timeout resolve 100ms
    timeout retry 300ms
    hold nx 500ms
    hold timeout 60s
listen edge
    mode tcp
    bind {edge}:{front}
    timeout connect 1s
    timeout client 600s
    timeout server 600s
    server-template s 1 web:{port} resolvers r1 init-addr none resolve-opts search
frontend status
    mode http
    bind {edge}:{status}
    timeout client 600s
    stats enable
    stats uri /
    http-request use-service prometheus-exporter if {{ path /metrics }}
"""


class Site:
    """An edge, its backends on one port, an /etc and two nameservers that it may name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.silent = stack.enter_context(ScriptedNameserver("127.86.0.53"))
        self.first = stack.enter_context(nameserver_at_port_53())
        self.second = stack.enter_context(nameserver_at_port_53())
        self.front, self.status = (EDGE, free_port()), (EDGE, free_port())
        backend = NamedBackend(ADDRESSES[0], 0)
        stack.callback(backend.close)
        self.port = backend.port
        stack.callback(NamedBackend(ADDRESSES[1], self.port).close)
        self.etc = Etc(folder)
        self.first.set("web.a.test", "A", ADDRESSES[0])
        self.second.set("web.a.test", "A", ADDRESSES[1])

    def start(self, more: str = "") -> Program:
        text = CONFIGURATION.format(
            own=self.silent.address,
            edge=EDGE,
            front=self.front[1],
            status=self.status[1],
            port=self.port,
            more=more,
        )
        program = Program(self.folder, text, wrapper=self.etc.wrapper)
        return self.stack.enter_context(program)

    def wait_for_answer(self, address: str) -> None:
        wait_for(lambda: who_answers(self.front) == address, 10.0, f"{address} behind the edge")

    def page(self, path: str) -> str:
        url = f"http://{self.status[0]}:{self.status[1]}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
            return str(reply.read().decode())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def lines_about(program: Program, text: str) -> list[str]:
    return [line for line in program.output.read_text().splitlines() if text in line]


def shown(program: Program) -> list[str]:
    """The nameservers of `show resolvers`."""
    lines = program.ask("show resolvers r1").splitlines()
    return [
        line.split()[1].rstrip(":") for line in lines if line.lstrip().startswith("nameserver ")
    ]


def test_a_replaced_file_changes_who_is_asked_and_everything_that_names_them(site: Site) -> None:
    first, second = site.first, site.second
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    program = site.start()
    site.wait_for_answer(ADDRESSES[0])
    assert shown(program) == ["own", first.host]
    site.etc.replace(f"nameserver {second.host}", "search a.test")
    site.wait_for_answer(ADDRESSES[1])
    (line,) = lines_about(program, "has changed")
    assert line.endswith(
        "resolvers 'r1': /etc/resolv.conf has changed: "
        f"nameserver {second.host} is new, nameserver {first.host} is gone."
    )
    first.forget()
    second.wait_queries(len(second.queries) + 5)
    assert not first.queries
    assert shown(program) == ["own", second.host]
    rows = list(csv.reader(program.ask("show stat domain resolvers").splitlines()))
    assert [row[:2] for row in rows[1:] if row] == [["own", "r1"], [second.host, "r1"]]
    metrics = site.page("/metrics")
    assert f'nameserver="{second.host}"' in metrics
    assert f'nameserver="{first.host}"' not in metrics
    page = site.page("/")
    assert f">{second.host}<" in page
    assert f">{first.host}<" not in page


def test_a_successor_and_a_reload_ask_whom_the_file_names_now(site: Site) -> None:
    first, second = site.first, site.second
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    program = site.start()
    site.wait_for_answer(ADDRESSES[0])
    site.etc.replace(f"nameserver {second.host}", "search a.test")
    site.wait_for_answer(ADDRESSES[1])
    (former,) = program.children()["resolverd"]
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: program.children().get("resolverd", [former]) != [former], 10.0, "another")
    first.forget()
    second.wait_queries(len(second.queries) + 5)
    assert not first.queries
    assert shown(program) == ["own", second.host]
    assert len(lines_about(program, "has changed")) == 1  # a successor knows it already
    sent = resolvers_counter(program, second.host, "sent")
    (former,) = program.children()["resolverd"]
    program.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: program.children().get("resolverd", [former]) != [former], 10.0, "a reload")
    wait_for(lambda: resolvers_counter(program, second.host, "sent") > sent, 10.0, "more counted")
    assert shown(program) == ["own", second.host]
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    site.wait_for_answer(ADDRESSES[0])


def resolvers_counter(program: Program, nameserver: str, counter: str) -> int:
    """A counter of `show resolvers`; -1 while it is not shown."""
    blocks = program.ask("show resolvers r1").split(" nameserver ")
    for block in blocks:
        if block.startswith(f"{nameserver}:"):
            return next(
                int(line.split()[1])
                for line in block.splitlines()
                if line.strip().startswith(f"{counter}:")
            )
    return -1


def test_an_empty_and_a_missing_file_change_nothing_and_are_said_once(site: Site) -> None:
    first, second = site.first, site.second
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    program = site.start()
    site.wait_for_answer(ADDRESSES[0])
    site.etc.replace("# nothing")
    kept = "what it said last is kept"
    wait_for(lambda: lines_about(program, f"names no nameserver: {kept}"), 10.0, "a complaint")
    site.etc.replace("# nothing at all")
    site.etc.file.unlink()
    wait_for(lambda: lines_about(program, "cannot be read (No such file or"), 10.0, "another")
    first.wait_queries(len(first.queries) + 5)
    said = lines_about(program, kept)
    assert len([line for line in said if line.startswith("[WARNING]")]) == 2, said
    assert len([line for line in said if line.startswith("/etc/")]) == 2, said  # of the target
    site.etc.file.write_text(f"nameserver {second.host}\nsearch a.test\n")  # in place
    site.wait_for_answer(ADDRESSES[1])


def test_the_search_list_follows_too(site: Site) -> None:
    first = site.first
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    program = site.start()
    site.wait_for_answer(ADDRESSES[0])
    first.set("web.b.test", "A", ADDRESSES[1])
    site.etc.replace(f"nameserver {first.host}", "search b.test", "options ndots:2")
    site.wait_for_answer(ADDRESSES[1])
    assert lines_about(program, "has changed: search list 'b.test', ndots 2.")


@pytest.mark.parametrize("more", ["", "chroot {empty}\n    user nobody\n    group nogroup"])
def test_a_link_is_followed_through_a_chroot(site: Site, more: str) -> None:
    """As with systemd-resolved: /etc/resolv.conf is a link, its target is replaced."""
    first, second = site.first, site.second
    run = site.folder / "run"
    run.mkdir()
    site.folder.chmod(0o755)
    (site.folder / "empty").mkdir()
    site.etc.file.unlink()
    site.etc.file.symlink_to(run / "stub-resolv.conf")
    for number, nameserver in enumerate([first, second, first]):
        (run / "new").write_text(f"nameserver {nameserver.host}\nsearch a.test\n")
        (run / "new").rename(run / "stub-resolv.conf")
        if number == 0:
            site.start(more.format(empty=site.folder / "empty"))
        site.wait_for_answer(ADDRESSES[number % 2])


def test_more_nameservers_than_rows_are_said(site: Site) -> None:
    first = site.first
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    program = site.start()
    site.wait_for_answer(ADDRESSES[0])
    many = [f"nameserver 127.86.9.{number}" for number in range(1, 18)]
    site.etc.replace(f"nameserver {first.host}", *many, "search a.test")
    wait_for(lambda: len(shown(program)) == 17, 10.0, "sixteen rows and the own one")
    said = "only the first 16 of the 18 nameservers of /etc/resolv.conf"
    wait_for(lambda: lines_about(program, said), 5.0, "the line that follows the rows")
    site.etc.replace(f"nameserver {first.host}", "search a.test")
    wait_for(lambda: shown(program) == ["own", first.host], 10.0, "one again")
    site.wait_for_answer(ADDRESSES[0])
