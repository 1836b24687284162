"""Debian's HAProxy and Millrace ask the same agents: a program with servers, and what it shows.

One agent answers for all servers, by the name that each program sends it (`agent-send`). It says
nothing new unless it is told to: a line once, or until it is told another one.
"""

from __future__ import annotations

import csv
import io
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
backend be
{lines}
"""
NEUTRAL = b"\n"
Answer = bytes | Callable[[socket.socket], None]


class Agent:
    """Answers each check by the name that it sends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        self._once: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self._server = Server(self._handle)

    def __enter__(self) -> Agent:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__()

    @property
    def port(self) -> int:
        return self._server.port

    def _handle(self, connection: socket.socket) -> None:
        name = b""
        while not name.endswith(b"\n"):
            data = connection.recv(100)
            if not data:
                return
            name += data
        with self._lock:
            server = name.decode().strip()
            self.asked[server] += 1
            answer = self._once.pop(server, None)
            if answer is None:
                answer = self._answers.get(server, NEUTRAL)
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection)

    def say(self, lines: dict[str, Answer], *, again: int = 1) -> None:
        """Answer so from now on; returns once `again` of such answers were judged."""
        with self._lock:
            self._answers.update(lines)
            before = Counter(self.asked)
        self._wait(lines, before, again + 1)

    def say_once(self, lines: dict[str, bytes]) -> None:
        """Answer so in the next check; returns once that was judged."""
        with self._lock:
            self._once.update(lines)
            before = Counter(self.asked)
        self._wait(lines, before, 2)

    def _wait(self, servers: Iterable[str], before: Counter[str], checks: int) -> None:
        """A check begins when the one before has been judged."""

        def asked() -> bool:
            return all(self.asked[server] >= before[server] + checks for server in servers)

        wait_for(asked, PATIENCE_SECONDS, f"{checks} checks of each agent")


def server_line(name: str, agent: Agent, options: str) -> str:
    """A server that the agent is asked about."""
    send = rf'agent-send "{name}\n"'
    return f"  server {name} 127.0.0.1:9 agent-check agent-port {agent.port} {send} {options}"


@contextmanager
def running(
    program: str, folder: Path, agent: Agent, servers: dict[str, str], *lines: str
) -> Iterator[OneProgram]:
    """A program with these servers, by name with the options of each."""
    told = [f"  {line}" for line in lines]
    told += [server_line(name, agent, options) for name, options in servers.items()]
    text = CONFIGURATION.format(lines="\n".join(told))
    with one_program(PROGRAMS[program](), folder / program, text, {}) as made:
        agent.say({}, again=0)
        wait_for(lambda: set(servers) <= set(agent.asked), PATIENCE_SECONDS, "the first checks")
        yield made


def stat_rows(made: OneProgram) -> dict[str, dict[str, str]]:
    """`show stat` of the servers, by name."""
    shown = made.ask("show stat -1 4 -1").lstrip("# ").strip()
    return {row["svname"]: row for row in csv.DictReader(io.StringIO(shown))}


def idle_row(made: OneProgram, name: str) -> dict[str, str]:
    """The row of a server while no check of its agent is under way."""

    def idle() -> dict[str, str] | None:
        row = stat_rows(made)[name]
        return None if row["agent_status"].startswith("*") else row

    found = wait_for(idle, PATIENCE_SECONDS, f"the end of a check of {name}")
    assert found is not None
    return found


def told(made: OneProgram) -> list[str]:
    """The lines of the log about servers, without what no two runs share."""
    made.read_all()
    return [
        f"{level} " + re.sub(r"duration: \d+ms", "duration", text.split(": ", 1)[1].strip())
        for level, text in made.lines
        if " be/" in text or "backend be" in text
    ]
