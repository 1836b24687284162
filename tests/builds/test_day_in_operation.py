"""A day of an edge, hour by hour, while clients come: none is lost but those that an hour names.

Servers are drained and restarted, the nameserver is away, the file is read again, another version is
installed and taken back, processes are killed, the section is full, servers are added and deleted,
and old generations are shown and cut.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program, greet, who_answers
from tests.system.test_upgrade_paths import CLIENTS, Crowd

NETWORK = "127.44.40"
ZONE = "day.test"
APP = tuple(f"{NETWORK}.{last}" for last in (11, 12, 13))
LATE, NAMED = f"{NETWORK}.14", f"{NETWORK}.15"  # one of a record that comes late, one added by name
PLACES = 30
VERSION = "proxy/__init__.py"
CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    log stdout format raw local0
    dns-accept-family ipv4
    {global_words}
resolvers dns
    nameserver nsd {nameserver}
    timeout resolve 200ms
    timeout retry 200ms
    hold timeout 10m
    hold obsolete 0s
defaults
    mode tcp
    log global
    option tcplog
    option redispatch
    timeout connect 9s
    timeout client 10m
    timeout server 10m
listen web
    bind {host}:{front}
    balance roundrobin
    maxconn {places}
    server-template app 4 app.{zone}:{port} resolvers dns check inter 100ms init-addr none
"""

pytestmark = pytest.mark.slow


class Day:
    """An edge, its nameserver and servers, and the clients that come all day."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.backends: dict[str, NamedBackend] = {}
        self.port = 0
        for address in (*APP, LATE, NAMED):
            self.open(address)
        self.nsd = Nsd(folder, ZONE, records(APP), f"{NETWORK}.53")
        stack.callback(self.nsd.stop)
        self.front = (f"{NETWORK}.1", free_port())
        self.installed = Installed(folder / "installed")
        self.program = stack.enter_context(
            Program(folder, self.text(), environ=self.installed.environ, executed=True)
        )
        self.await_up(APP)
        self.crowd = Crowd(self.front, [f"{address}\n".encode() for address in self.backends])

    def text(self, global_words: str = "") -> str:
        return CONFIGURATION.format(
            global_words=global_words,
            nameserver=self.nsd.endpoint,
            host=self.front[0],
            front=self.front[1],
            places=PLACES,
            zone=ZONE,
            port=self.port,
        )

    def open(self, address: str) -> None:
        """Start the server of this address; all have one port."""
        backend = NamedBackend(address, self.port)
        self.port = backend.port
        self.backends[address] = backend
        self.stack.callback(backend.close)

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    def order(self, command: str, says: str = "") -> str:
        answer = self.program.ask(command)
        assert says in answer, f"{command}: {answer}"
        return answer

    def rows(self) -> dict[str, dict[str, str]]:
        """`show stat` by name of what stands in the section."""
        lines = [line.split(",") for line in self.order("show stat web 7 -1").splitlines() if line]
        return {line[1]: dict(zip(lines[0], line, strict=False)) for line in lines[1:]}

    def name_at(self, address: str) -> str:
        """The server that has this address."""
        rows = self.program.servers("web")
        [name] = [name for name, row in rows.items() if row["srv_addr"] == address]
        return name

    def up(self) -> set[str]:
        states, addresses = self.rows(), self.program.servers("web")
        return {
            row["srv_addr"]
            for name, row in addresses.items()
            if states[name]["status"] in ("UP", "no check")
        }

    def await_up(self, wanted: tuple[str, ...]) -> None:
        """Return when these servers, and no others, take clients."""
        self.until(lambda: self.up() == set(wanted), f"{wanted} are up")

    def until(self, holds: Callable[[], object], what: str) -> None:
        wait_for(holds, PATIENCE_SECONDS, what, step=0.02)

    def session(self, address: str = "") -> socket.socket:
        """A long session, of any server or of the one with this address."""
        found: list[socket.socket] = []

        def reaches() -> bool:
            greeted = greet(self.front)
            assert greeted is not None
            self.stack.callback(greeted[1].close)
            found.append(greeted[1])
            if address in ("", greeted[0]):
                return True
            greeted[1].close()
            return False

        self.until(reaches, f"a session with {address}")
        return found[-1]

    def signal_until(self, *texts: str) -> None:
        """Reload or upgrade; returns when one of these is said once more."""
        before = sum(map(self.told.count, texts))
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(
            lambda: sum(map(self.told.count, texts)) > before, 2 * PATIENCE_SECONDS, f"{texts}"
        )

    def fact(self, name: str) -> str:
        """A line of `show info`."""
        return self.order("show info").partition(f"\n{name}: ")[2].partition("\n")[0]

    @contextlib.contextmanager
    def hour(self, lost: int = 0) -> Iterator[None]:
        """Clients come before, meanwhile and after; so many of them may be lost, and no total falls."""
        total = int(self.rows()["FRONTEND"]["stot"])
        self.crowd.await_more(20)
        yield
        self.crowd.await_more(20)
        failures, self.crowd.failures = self.crowd.failures, []
        assert len(failures) <= lost, failures
        assert int(self.rows()["FRONTEND"]["stot"]) > total


def records(addresses: tuple[str, ...]) -> list[str]:
    return [*(f"app IN A {address}" for address in addresses), f"named IN A {NAMED}"]


def family(pid: int) -> list[int]:
    """The process and all below it, parents first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def echoes(session: socket.socket) -> bool:
    session.settimeout(PATIENCE_SECONDS)
    with contextlib.suppress(OSError):
        session.sendall(b"still here")
        return session.recv(100) == b"still here"
    return False


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    with contextlib.ExitStack() as stack:
        yield Day(tmp_path, stack)


def servers_are_restarted_in_turn(day: Day) -> None:
    """A drained one keeps its session and gets no other; restarted, it takes clients again."""
    for address in APP:
        name = day.name_at(address)
        session = day.session(address)
        day.order(f"set server web/{name} state drain")
        day.until(lambda name=name: day.rows()[name]["scur"] == "1", "the session is the last one")
        before = day.rows()[name]["stot"]
        assert echoes(session)
        session.close()
        assert day.rows()[name]["stot"] == before
        day.order(f"set server web/{name} state maint")
        day.backends[address].close()
        day.open(address)
        day.order(f"set server web/{name} state ready")
        day.await_up(APP)
        day.until(lambda address=address: who_answers(day.front) == address, "clients come to it")


def the_nameserver_is_away(day: Day) -> None:
    """Servers keep their addresses while it is silent, and a record that is new then is found."""
    for pid in family(day.nsd.process.pid):
        stand_still(pid)
    day.until(lambda: " timeout " in day.order("show resolution"), "a run without an answer")
    day.crowd.await_more(100)
    assert day.up() == set(APP)
    day.nsd.write(records((*APP, LATE)))
    for pid in family(day.nsd.process.pid):
        os.kill(pid, signal.SIGCONT)
    day.nsd.set_records(records((*APP, LATE)))
    day.await_up((*APP, LATE))
    day.nsd.set_records(records(APP))
    day.await_up(APP)


def the_file_is_read_again(day: Day) -> None:
    """A session of the former generation goes on, and is told of."""
    session = day.session()
    day.signal_until("reload done")
    day.until(lambda: int(day.fact("OldConns")) >= 1, "it is counted")
    assert re.search(r"^# old workers\n\d+ +worker ", day.order("show proc"), re.MULTILINE)
    assert echoes(session)
    session.close()
    day.until(lambda: day.fact("OldGenerations") == "0", "its generation has ended")


def another_version_comes_and_goes(day: Day) -> None:
    """The main process keeps its pid, sessions and orders of each version go on in the next one."""
    session, pid = day.session(), day.program.process.pid
    day.order(f"set weight web/{day.name_at(APP[0])} 50")
    content = (day.installed.folder / VERSION).read_text()
    for version in ("9.9.9", __version__):
        day.installed.replace(VERSION, content.replace(__version__, version))
        day.signal_until("upgrade done: generation")
        assert (day.fact("Version"), day.fact("Pid")) == (version, str(pid))
        assert day.order(f"get weight web/{day.name_at(APP[0])}").startswith("50 ")
        day.await_up(APP)
    assert echoes(session)
    session.close()


def processes_are_killed(day: Day) -> None:
    """Sessions of a killed worker are lost, and no others."""
    children = day.program.children()
    for kind in ("resolverd", "control"):
        with day.hour():
            killed = children[kind][0]
            os.kill(killed, signal.SIGKILL)
            day.until(
                lambda killed=killed, kind=kind: (
                    killed not in day.program.titled_children().get(kind, [killed])
                ),
                f"another {kind}",
            )
            day.program.wait_until_answering()
            day.await_up(APP)
    for killed in children["worker"]:
        with day.hour(lost=CLIENTS):
            os.kill(killed, signal.SIGKILL)
            day.until(
                lambda killed=killed: (
                    killed not in day.program.titled_children().get("worker", [killed])
                ),
                "another worker",
            )


def the_section_is_full(day: Day) -> None:
    """Clients wait for a place then; `show why` and the events say so."""
    with contextlib.ExitStack() as clients:
        for _ in range(2 * PLACES):
            clients.enter_context(socket.create_connection(day.front, PATIENCE_SECONDS))
        day.until(lambda: day.rows()["FRONTEND"]["scur"] == str(PLACES), "all places are taken")
        full = "show why frontend web"  # but for a moment when one of the crowd has just left
        day.until(lambda: "maxconn" in day.order(full), "it is told why clients wait")
        told = "web: clients wait to be let in: it has"
        day.until(lambda: told in day.order("show events state"), "the event")


def servers_come_and_go(day: Day) -> None:
    """One with an address and one with a name take clients, and are deleted, and no client is lost."""
    for name, where in (("late", f"{LATE}:{day.port}"), ("named", f"named.{ZONE}:{day.port}")):
        words = "check inter 100ms" + (" resolvers dns" if name == "named" else "")
        day.order(f"add server web/{name} {where} {words}", "New server registered.")
        day.order(f"enable health web/{name}")
        day.order(f"enable server web/{name}")
        address = LATE if name == "late" else NAMED
        day.until(lambda address=address: who_answers(day.front) == address, "it takes clients")
        day.order(f"set server web/{name} state maint")
        day.order(f"wait 10s srv-removable web/{name}", "Done.")
        day.order(f"del server web/{name}", "Server deleted.")


def old_sessions_are_cut(day: Day) -> None:
    """`hard-stop-after` of a generation ends its sessions, and the log says how many of which."""
    day.program.write(day.text("hard-stop-after 400ms"))
    day.signal_until("reload done")
    session = day.session()
    day.signal_until("reload done")
    session.settimeout(PATIENCE_SECONDS)
    with contextlib.suppress(ConnectionResetError):
        assert session.recv(1) == b""
    wait_for(
        lambda: "Proxy web hard-stopped (1 remaining conns will be closed)." in day.told,
        PATIENCE_SECONDS,
        "what was cut",
    )
    assert "soft-stop running for too long, performing a hard-stop." in day.told
    day.until(lambda: day.fact("OldGenerations") == "0", "its generation has ended")


def test_no_client_is_lost_but_those_that_are_named(day: Day) -> None:
    with day.crowd:
        for hour in (
            servers_are_restarted_in_turn,
            the_nameserver_is_away,
            the_file_is_read_again,
            another_version_comes_and_goes,
            processes_are_killed,
            the_section_is_full,
            servers_come_and_go,
            old_sessions_are_cut,
        ):
            with day.hour():
                hour(day)
    assert int(day.rows()["FRONTEND"]["stot"]) >= day.crowd.served
    day.program.process.send_signal(signal.SIGUSR1)
    assert day.program.process.wait(PATIENCE_SECONDS) == 0, day.told
    assert "Traceback" not in day.told
