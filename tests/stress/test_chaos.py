"""Random deaths: children killed and stopped at random, reloads good and bad, under load.

The only failures allowed are sessions that a killed worker had accepted; each failure is blamed on
a deed, and a deed explains no more failures than the worker had sessions open. At the end a soft
stop loses nothing, and nothing is left over. MILLRACE_SEED repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.generated import sample
from tests.support.program.chaos import (
    MESSAGE,
    Child,
    Deed,
    Failure,
    Ledger,
    children_of,
    descriptors_of,
    echo_server,
)
from tests.support.program.program import Program

SECONDS = sample(20, full=300)
RELOAD_OUTCOMES = ("reload failed", "reload done")
WRK_CONNECTIONS = 8
SETTLE_SECONDS = PATIENCE_SECONDS
DEATH_SECONDS = PATIENCE_SECONDS  # a signal takes effect when the kernel next runs its process
CONFIGURATION = """
global
  nbthread {threads}
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
resolvers dns
  nameserver scripted {nameserver}
  timeout resolve 500ms
  timeout retry 200ms
listen sessions
  bind 127.0.0.1:{port}
  server echo echo.test:{echo_port} resolvers dns init-addr 127.0.0.1
listen web
  bind 127.0.0.1:{web_port}
  server nginx 127.0.0.1:{nginx_port}
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; return 200 "chaos"; }}
}}
"""


class Chaos:
    """One run: the program, its load, and everything that is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.port, self.web_port, self.nginx_port = (free_port() for _ in range(3))
        self.echo_port = 0
        self.nameserver = ""
        self.deeds: list[Deed] = []
        self.seen: set[Child] = set()
        self.log: list[str] = []
        self.ledger = Ledger(("127.0.0.1", self.port))
        self.program: Program

    def configuration(self, threads: int) -> str:
        return CONFIGURATION.format(
            threads=threads,
            port=self.port,
            echo_port=self.echo_port,
            nameserver=self.nameserver,
            web_port=self.web_port,
            nginx_port=self.nginx_port,
        )

    def note(self, what: str) -> None:
        self.log.append(f"{time.monotonic():.3f} {what}")

    def children(self) -> list[Child]:
        found = children_of(self.program.process.pid)
        self.seen.update(found)
        return found

    async def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait in the loop, so that the load goes on."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n" + self.story()
            await asyncio.sleep(0.01)

    def story(self) -> str:
        output = self.program.output.read_text()[-6_000:]
        states = [child.account() for child in self.children()]
        states.append(f"descriptors: {dict(descriptors_of(self.program.process.pid))}")
        return "\n".join([*self.log, *states, f"--- output\n{output}"])

    async def hurt(self) -> None:
        """One random deed to one random child."""
        victims = self.children()
        if not victims:
            return
        child = self.chance.choice(victims)
        deed = self.chance.choice((self.kill, self.kill_blind, self.hang, self.nap))
        self.note(f"{deed.__name__} {child.title} {child.pid}")
        with suppress(ProcessLookupError, FileNotFoundError):
            await deed(child)

    def blame(self, child: Child, what: str, sessions: int) -> Deed | None:
        if child.kind != "worker":
            return None  # nothing depends on the others being alive
        deed = Deed(f"{what} {child.title} {child.pid}", time.monotonic(), sessions)
        self.deeds.append(deed)
        return deed

    async def kill(self, child: Child) -> None:
        """SIGKILL, after a look at how many sessions that costs."""
        os.kill(child.pid, signal.SIGSTOP)
        await self.until(lambda: child.state() in "TZX", DEATH_SECONDS, f"{child} stopped")
        sessions = child.open_sessions() if child.kind == "worker" else 0
        deed = self.blame(child, "kill", sessions)
        os.kill(child.pid, signal.SIGKILL)
        await self.until(lambda: not child.alive(), DEATH_SECONDS, f"{child} killed")
        if deed:
            deed.ended = time.monotonic()

    async def kill_blind(self, child: Child) -> None:
        """SIGKILL out of the blue: at most everything that is open is lost."""
        deed = self.blame(child, "blind kill", self.ledger.open + WRK_CONNECTIONS)
        os.kill(child.pid, signal.SIGKILL)
        await self.until(lambda: not child.alive(), DEATH_SECONDS, f"{child} killed")
        if deed:
            deed.ended = time.monotonic()

    async def hang(self, child: Child) -> None:
        """SIGSTOP for good: the supervisor has to notice."""
        os.kill(child.pid, signal.SIGSTOP)
        await self.until(lambda: child.state() in "TZX", DEATH_SECONDS, f"{child} stopped")
        sessions = child.open_sessions() if child.kind == "worker" else 0
        deed = self.blame(child, "hang", sessions)
        await self.until(lambda: not child.alive(), 15, f"the hung {child} replaced")
        if deed:
            deed.ended = time.monotonic()

    async def nap(self, child: Child) -> None:
        """SIGSTOP for a moment: nothing may be lost."""
        os.kill(child.pid, signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(0.02, 0.6))
        os.kill(child.pid, signal.SIGCONT)

    async def reload(self, threads: int) -> None:
        """A new generation with that many workers."""
        self.note(f"reload with nbthread {threads}")
        before = {child.pid for child in self.children()}
        self.program.write(self.configuration(threads))
        self.program.process.send_signal(signal.SIGUSR2)

        def replaced() -> bool:
            fresh = [child for child in self.children() if child.pid not in before]
            return sum(child.kind == "worker" for child in fresh) >= threads

        await self.until(replaced, 15, f"{threads} new workers")

    async def reload_nonsense(self) -> None:
        """A configuration with an error changes nothing but the log."""
        self.note("reload with an error")
        output = self.program.output
        failures, reloads = (output.read_text().count(word) for word in RELOAD_OUTCOMES)
        self.program.file.write_text("listen broken\n  bind nowhere at all\n")
        self.program.process.send_signal(signal.SIGUSR2)
        await self.until(
            lambda: output.read_text().count(RELOAD_OUTCOMES[0]) > failures, 15, "it is refused"
        )
        assert output.read_text().count(RELOAD_OUTCOMES[1]) == reloads, "nonsense was taken"

    async def torment(self) -> None:
        """The script of what happens."""
        start = time.monotonic()
        plan = [(0.15, 1), (0.35, 0), (0.5, 2), (0.7, 1), (0.85, 2)]
        # The whole plan, also where a hang took so long that the time is over before.
        while (elapsed := (time.monotonic() - start) / SECONDS) < 1 or plan:
            if plan and elapsed >= plan[0][0]:
                threads = plan.pop(0)[1]
                await (self.reload(threads) if threads else self.reload_nonsense())
            else:
                await self.hurt()
            await asyncio.sleep(self.chance.uniform(0.1, SECONDS / 40))
            self.children()

    def whole(self) -> bool:
        """Two workers, resolverd and control, and none of an older generation."""
        kinds = sorted(child.title for child in self.children())
        return len(kinds) == 4 and [kind.split()[0] for kind in kinds] == [
            "control",
            "resolverd",
            "worker",
            "worker",
        ]

    async def soft_stop(self) -> None:
        """Sessions that are open go on to their end; then everything is gone."""
        self.note("soft stop")
        held = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(4)]
        for reader, writer in held:
            writer.write(MESSAGE)
            assert await reader.readexactly(len(MESSAGE)) == MESSAGE
        self.program.process.send_signal(signal.SIGUSR1)
        await self.until(lambda: not connects(self.port), 5, "new clients refused")
        for reader, writer in held:
            writer.write(MESSAGE)
            writer.write_eof()
            assert await reader.read() == MESSAGE
            writer.close()
            await writer.wait_closed()
        await self.until(lambda: self.program.process.poll() is not None, 5, "its end")
        assert self.program.process.returncode == 0, self.story()


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wrk_errors(report: str) -> tuple[int, int]:
    """(connect errors, read, write and time-out errors) of a wrk run."""
    found = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    if found is None:
        return 0, 0
    connect, read, write, timeout = (int(number) for number in found.groups())
    return connect, read + write + timeout


async def run_chaos(chaos: Chaos, nameserver: ScriptedNameserver) -> None:
    nameserver.set("echo.test", "A", "127.0.0.1")
    chaos.nameserver = nameserver.address
    server = await echo_server()
    chaos.echo_port = server.sockets[0].getsockname()[1]
    nginx_file = chaos.folder / "nginx.conf"
    nginx_file.write_text(NGINX.format(folder=chaos.folder, port=chaos.nginx_port))
    nginx = await asyncio.create_subprocess_exec(
        require_program("nginx"), "-c", str(nginx_file), "-e", "stderr"
    )
    await asyncio.to_thread(wait_for, lambda: connects(chaos.nginx_port), 5, "nginx")
    try:
        with Program(chaos.folder, chaos.configuration(2)) as chaos.program:
            await chaos.until(chaos.whole, SETTLE_SECONDS, "all children at first")
            descriptors = descriptors_of(chaos.program.process.pid)
            wrk = await asyncio.create_subprocess_exec(
                require_program("wrk"),
                *("-t1", f"-c{WRK_CONNECTIONS}", f"-d{SECONDS:.0f}s", "--timeout", "30s"),
                f"http://127.0.0.1:{chaos.web_port}/",
                stdout=asyncio.subprocess.PIPE,
            )
            chaos.ledger.start(short=6, long=6)
            await chaos.torment()
            report = (await wrk.communicate())[0].decode()
            await chaos.ledger.stop()
            judge(chaos, report)
            await chaos.until(chaos.whole, SETTLE_SECONDS, "all children in the end")
            chaos.note(f"descriptors at first: {dict(descriptors)}")
            await chaos.until(
                lambda: descriptors_of(chaos.program.process.pid) == descriptors,
                5,
                "the supervisor back at its descriptors",
            )
            await chaos.soft_stop()
            nothing_left(chaos)
    finally:
        nginx.terminate()
        await nginx.wait()
        server.close()
        await server.wait_closed()


def judge(chaos: Chaos, report: str) -> None:
    """Every failure has its deed."""
    unexplained = chaos.ledger.unexplained(chaos.deeds)
    assert not unexplained, "\n".join([*unexplained, chaos.story()])
    connect_errors, other_errors = wrk_errors(report)
    allowed = sum(deed.sessions for deed in chaos.deeds)
    assert connect_errors == 0, report + chaos.story()
    assert len(chaos.ledger.failures) + other_errors <= allowed, report + chaos.story()
    assert chaos.ledger.completed > 10 * SECONDS, report + chaos.story()
    assert "Non-2xx" not in report


def bindable(port: int) -> bool:
    """Whether no socket holds the port any more."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


def nothing_left(chaos: Chaos) -> None:
    left = [child for child in chaos.seen if child.alive()]
    assert not left, f"left over: {left}"
    assert bindable(chaos.port)
    assert bindable(chaos.web_port)
    assert "Traceback" not in chaos.program.output.read_text()


def test_each_failure_needs_a_deed_that_can_explain_it() -> None:
    ledger = Ledger(("127.0.0.1", 0))
    deeds = [Deed("kill", 10.0, 2, ended=10.1), Deed("hang", 20.0, 1)]
    for at in (10.0, 10.5, 25.0):
        ledger.failures.append(Failure(at, "short", "exchange", "reset"))
    assert ledger.unexplained(deeds) == []
    third = Failure(10.6, "long", "exchange", "reset")  # one more than the worker had open
    early = Failure(9.0, "long", "end", "reset")
    refused = Failure(20.5, "short", "connect", "refused")  # a dead worker closes no queue
    for failure in (third, early, refused):
        only_that = Ledger(("127.0.0.1", 0), failures=[*ledger.failures, failure])
        assert len(only_that.unexplained(deeds)) == 1, failure


@pytest.mark.alone
@pytest.mark.slow
def test_random_deaths_cost_only_what_the_dead_had_accepted(tmp_path: Path, seed: int) -> None:
    tmp_path.chmod(0o755)  # nginx's worker is not root
    chaos = Chaos(tmp_path, seed)
    with ScriptedNameserver() as nameserver:
        asyncio.run(run_chaos(chaos, nameserver))


@pytest.mark.slow
def test_without_the_supervisor_all_is_gone_within_a_second(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, 0)
    chaos.echo_port = free_port()
    chaos.nameserver = f"127.0.0.1:{free_port()}"  # without a server, and not needed
    with Program(tmp_path, chaos.configuration(2)) as chaos.program:
        wait_for(chaos.whole, SETTLE_SECONDS, "all children")
        chaos.program.process.kill()
        chaos.program.process.wait()

        def gone() -> bool:
            children = any(child.alive() for child in chaos.seen)
            # a worker's other thread may hold the sockets a moment longer than the first
            return not children and bindable(chaos.port) and bindable(chaos.web_port)

        wait_for(gone, 1.0, "children gone and ports free")
        nothing_left(chaos)
