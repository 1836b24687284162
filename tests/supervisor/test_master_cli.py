"""The master CLI of the whole program: reloads with their outcome, and whatever dies or is said.

`reload`, `hard-reload` and `show startup-logs` are those of the management manual of 3.2, section
9.4.1: `Success=0|1`, `--`, the messages of the attempt, and the end of the connection.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from proxy.arguments import Arguments, parse
from proxy.client.ask import run
from proxy.control.limits import MASTER_CONNECTIONS_MAX
from tests.supervisor.reload_faults import ERRORS, TREE_FILES
from tests.supervisor.test_reload_faults import tolerated
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.generated import sample
from tests.support.supervisor.program import ROOT, Program, await_serving, kill, started

HOST = "127.44.8.3"
SUCCESS = re.compile(r"Success=1\n--\n.*reload done: generation \d+ serves\n", re.DOTALL)
FAILURE = "reload failed, nothing changed"
CONFIGURATION = """global
  nbthread 1
  stats socket {folder}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen web
  bind {host}:{port}
  server s {host}:{server}
"""


class Site:
    """The program with its master, and a server that takes whatever comes."""

    def __init__(self, program: Program, folder: Path, port: int, server: socket.socket) -> None:
        self.program = program
        self.path = folder / "m"
        self.more = folder / "more.cfg"  # read behind the first file
        self.address = HOST, port
        self.server = server

    def connected(self, text: str = "") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(self.path))
        client.sendall(text.encode())
        return client

    def ask(self, text: str) -> str:
        with self.connected(f"{text}\n") as client:
            return said(client)

    def master(self) -> int:
        return self.program.pid_of("master")

    def reloads(self) -> str:
        """`5 [failed: 0]`."""
        return re.findall(r"master +(\d+ \[failed: \d+\])", self.ask("show proc"))[0]

    def workers(self) -> list[str]:
        """Pids of generations in `show proc`, the running one first."""
        return re.findall(r"^(\d+) +worker", self.ask("show proc"), re.MULTILINE)

    @contextmanager
    def session(self) -> Iterator[socket.socket]:
        """A client that has its server."""
        with socket.create_connection(self.address, PATIENCE_SECONDS) as client:
            client.sendall(b"x")
            with self.server.accept()[0]:
                yield client


def said(client: socket.socket) -> str:
    return b"".join(iter(lambda: client.recv(65_536), b"")).decode()


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    port = free_port()
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(PATIENCE_SECONDS)
        file = folder / "edge.cfg"
        (folder / "more.cfg").write_text("")
        names = {"folder": folder, "host": HOST, "port": port, "server": server.getsockname()[1]}
        file.write_text(CONFIGURATION.format(**names))
        words = ("-W", "-S", f"{folder}/m,mode,600", "-f", str(file), "-f", f"{folder}/more.cfg")
        with started(folder, *words, real=True) as program:
            site = Site(program, folder, port, server)
            wait_for(site.path.exists, PATIENCE_SECONDS, "the socket of the master")
            wait_for(lambda: "worker" in site.ask("show proc"), PATIENCE_SECONDS, "an answer")
            yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("master")) as found:
        yield found


def await_begun(site: Site) -> None:
    """Return when the reader of a reload is there."""
    begun = "a reload has begun"
    wait_for(lambda: "reload" in site.program.titles(), PATIENCE_SECONDS, begun)


@contextmanager
def held(site: Site) -> Iterator[None]:
    """Reloads read on while this lasts: their second file is a pipe that is not written."""
    site.more.unlink()
    os.mkfifo(site.more)
    try:
        yield
    finally:
        written = site.more.with_suffix(".next")
        written.write_text("")
        with site.more.open("w"):  # the end of the file for the one that reads
            written.rename(site.more)


def test_the_outcome_is_told_and_told_again(site: Site) -> None:
    tried = int(site.reloads().split()[0])
    answer = site.ask("reload; show version")
    assert SUCCESS.fullmatch(answer), answer
    assert site.ask("show startup-logs") == answer.partition("--\n")[2] + "\n"
    site.more.write_text("backend more\n  nonsense\n")
    try:
        answer = site.ask("@master reload")
        assert re.fullmatch(
            rf"Success=0\n--\n\[ALERT\] .*more.cfg:2\] : unknown keyword 'nonsense'.*\n.*{FAILURE}.*\n",
            answer,
        ), answer
        assert site.ask("show startup-logs") == answer.partition("--\n")[2] + "\n"
        assert site.reloads() == f"{tried + 2} [failed: 1]"
        with site.connected("prompt\nshow version\nquit\n") as client:
            assert said(client).count("master[ReloadFailed]> ") == 3
    finally:
        site.more.write_text("")
    assert SUCCESS.fullmatch(site.ask("reload"))
    assert site.ask("prompt\nquit") == "master> master> "


def test_what_clients_order_is_told_with_their_names(site: Site) -> None:
    site.ask("reload")
    site.ask("@1 set weight web/s 10")
    events = site.ask("@1 show events state")
    me = f"order of uid {os.getuid()} (pid {os.getpid()})"
    assert 0 < events.index(f"{me}: reload\n") < events.rindex(" reloading\n")
    assert f"{me} by the master CLI: set weight web/s 10" in events
    asked = parse(["-S", str(site.path), "show", "proc"])
    assert isinstance(asked, Arguments)
    assert run(asked, {}) == 0  # millrace show


def test_a_hard_reload_ends_what_a_reload_leaves(site: Site) -> None:
    with site.session() as client:
        assert SUCCESS.fullmatch(site.ask("reload"))
        running, old = site.workers()
        lines = site.ask(f"@!{old} show sess").splitlines()
        assert len([line for line in lines if "fe=web" in line]) == 1
        assert site.ask(f"@!{running} show version") == site.ask(f"@!{old} show version")
        assert "Unknown command" in site.ask(f"@!{old} show info")
        assert SUCCESS.fullmatch(site.ask("hard-reload"))
        with suppress(ConnectionResetError):
            assert client.recv(10) == b""
        wait_for(lambda: len(site.workers()) == 1, PATIENCE_SECONDS, "the old ones have ended")
        assert f"prefix '@!{old}'" in site.ask(f"@!{old} show sess")


def test_a_master_that_dies_in_a_reload_costs_its_clients_only(site: Site) -> None:
    before, former = site.master(), site.reloads()
    with held(site):
        with site.connected("reload\n") as client:
            await_begun(site)
            kill(before)
            assert said(client) == ""
        assert site.reloads() == former  # its successor serves, while the reload goes on
        assert site.master() != before
    wait_for(lambda: site.reloads() != former, PATIENCE_SECONDS, "the reload is done")
    assert "reload done" in site.ask("show startup-logs")


def test_orders_during_a_reload_are_done_by_one_more(site: Site) -> None:
    """A storm: the first makes one reload, all that come meanwhile a second."""
    tried = int(site.reloads().split()[0])
    with ExitStack() as stack:
        with held(site):
            clients = [stack.enter_context(site.connected("reload\n"))]
            await_begun(site)
            clients += [stack.enter_context(site.connected("reload\n")) for _ in range(50)]
            assert "master" in site.ask("show proc")  # behind all of them in the queue
        answers = [said(client) for client in clients]
    assert all(SUCCESS.fullmatch(answer) for answer in answers), answers
    assert site.reloads() == f"{tried + 2} [failed: 0]"


def test_whatever_clients_send_the_supervisor_never_hears_of(site: Site, seed: int) -> None:
    """Bytes one by one, at random, cut off, or none at all."""
    former, generator = site.reloads(), random.Random(seed)
    master, text = site.master(), "@1 show version; show version\n"
    with ExitStack() as stack:
        silent = [stack.enter_context(site.connected()) for _ in range(20)]
        for _ in range(sample(40, 400)):
            with site.connected() as client:
                words = generator.choice((b"@", b"@1", b"@!7", b"reload", b"prompt", b";", b"<<"))
                client.sendall(words + generator.randbytes(generator.randrange(300)))
        slow = stack.enter_context(site.connected())
        for letter in text:
            slow.sendall(letter.encode())
        assert said(slow) == site.ask(text.strip())
        long = stack.enter_context(site.connected("x" * 20_000))
        assert "too long" in said(long)
        assert "Can't find" in site.ask(f"@!{'9' * 5_000} show version")
        for client in silent:
            client.sendall(b"show version\n")
            assert said(client).strip() == site.ask("show version").strip()
    assert (site.reloads(), site.master()) == (former, master)


def test_a_command_for_a_control_that_has_died_waits_for_the_next(site: Site) -> None:
    for _ in range(2):
        kill(site.program.pid_of("control"))
        assert (
            site.ask("@1 show version; show version").split()
            == [site.ask("show version").strip()] * 2
        )


def test_a_wait_ends_when_its_client_leaves(site: Site) -> None:
    site.ask("@1 show version")
    quiet = sockets_of(site)
    with site.connected("@1 wait 1h\n") as client:
        wait_for(lambda: sockets_of(site) == quiet + 3, PATIENCE_SECONDS, "control waits")
        client.close()
        wait_for(lambda: sockets_of(site) == quiet, PATIENCE_SECONDS, "control waits no more")
    assert site.ask("@1 wait 10; @1 wait 10 srv-removable web/none").split("\n\n")[:2] == [
        "Done.",
        "No such server.",
    ]
    orders = "@1 add server web/n 127.0.0.1:9; @1 wait 1h srv-removable web/n; @1 del server web/n"
    assert [text.strip() for text in site.ask(orders).split("\n\n") if text.strip()] == [
        "New server registered.",
        "Done.",
        "Server deleted.",
    ]


def test_waits_take_no_place_that_another_wants(tmp_path: Path) -> None:
    """All places are taken by clients that wait: each newcomer is served, for one of them."""
    with site_in(tmp_path) as site, ExitStack() as stack:
        version = site.ask("@1 show version")
        waiting = []
        for _ in range(MASTER_CONNECTIONS_MAX):
            client = stack.enter_context(site.connected("@1 show version; @1 wait 1h\n"))
            assert client.recv(len(version), socket.MSG_WAITALL).decode() == version
            waiting.append(client)
        assert site.ask("@1 show version") == version
        assert "worker" in site.ask("show proc")
        ended = [client for client in waiting if select.select([client], [], [], 0)[0]]
        assert {said(client) for client in ended} == {""}
        assert len(ended) <= 2  # a newcomer that is answered may have its place for a moment more


def test_events_are_followed_until_the_client_leaves(site: Site) -> None:
    site.ask("@1 show version")
    quiet = sockets_of(site)
    with site.connected("@1 show events state -w -n\n") as client:
        wait_for(lambda: sockets_of(site) == quiet + 3, PATIENCE_SECONDS, "control waits")
        site.ask("@1 set weight web/s 11")
        assert b"set weight web/s 11" in client.recv(4_096)
        client.close()
        wait_for(lambda: sockets_of(site) == quiet, PATIENCE_SECONDS, "control waits no more")


def sockets_of(site: Site) -> int:
    """What master and control have open: for a call three more, a client's and its two ends."""
    count = 0
    for pid in (site.master(), site.program.pid_of("control")):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += str(entry.readlink()).startswith("socket:")
    return count


def test_a_program_that_stops_refuses_reloads(tmp_path: Path) -> None:
    with site_in(tmp_path) as site:
        with site.session():
            site.program.signal(signal.SIGUSR1)
            answer = wait_for(
                lambda: text if "Success=0" in (text := site.ask("reload")) else "",
                PATIENCE_SECONDS,
                "it stops",
            )
            assert answer.endswith("the program is stopping\n")
        site.program.wait()
        assert not site.path.exists()


def test_whatever_a_reload_raises_is_told_to_the_one_that_ordered_it(
    tmp_path: Path, seed: int
) -> None:
    plan = tmp_path / "plan"
    plan.write_text("null")
    port = free_port()
    file = tmp_path / "edge.cfg"
    names = {"folder": tmp_path, "host": HOST, "port": port, "server": 9}
    file.write_text(CONFIGURATION.format(**names))
    words = ("-W", "-S", f"{tmp_path}/m", "-f", str(file))
    script = str(ROOT / "tests/supervisor/reload_faults.py")
    with (
        started(tmp_path, *words, script=script, environ={"MILLRACE_FAULT": str(plan)}) as program,
        socket.socket() as unused,
    ):
        await_serving((HOST, port))
        site = Site(program, tmp_path, port, unused)
        for _ in range(2):
            assert SUCCESS.fullmatch(site.ask("reload"))
        sites = json.loads(plan.with_suffix(".sites").read_text())
        faults = [
            (number, error)
            for number, (name, line, _) in enumerate(sites)
            for error, raised in enumerate(ERRORS)
            if name not in TREE_FILES
            and not (isinstance(raised, OSError) and tolerated(name, line))
        ]
        for fault in random.Random(seed).sample(faults, sample(15, 300)):
            plan.write_text(json.dumps(fault))
            answer = site.ask("reload")
            assert answer.startswith("Success=0\n--\n"), (sites[fault[0]], ERRORS[fault[1]], answer)
            assert FAILURE in answer
        plan.write_text("null")
        assert SUCCESS.fullmatch(site.ask("reload"))
