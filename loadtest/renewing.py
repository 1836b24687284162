"""What a reload of many servers keeps waiting, and the memory that it leaves behind.

Owns the reloads (of the given instance), and three questions that are asked without pause beside
them, each in its turn as soon as it is answered: of the main process (beside its pid file), of the
stats socket, and by the program of a nameserver here, which answers at once.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loadtest.cpu import tree_private_bytes
from loadtest.instance import Instance
from loadtest.process import ProgramFailedError
from loadtest.programs import PIDFILE, Setup
from loadtest.propagation import ScriptedNameserver, address_of, reply_of
from loadtest.site import Site
from loadtest.traffic import Sample

RELOADS = 2
RELOAD_SECONDS = 120.0
BEFORE_SECONDS = 1.0  # of questions
BEHIND_SECONDS = 2.0  # likewise: the former generation ends
SETTLE_SECONDS = 2.0
RETRY_SECONDS = 0.001  # where nothing listens at the moment
READ_BYTES = 1 << 16
PID = re.compile(rb"^(\d+)\s+worker\s", re.MULTILINE)  # of the present generation


class Asker:
    """Asks at a Unix socket again and again; `longest` is the longest time to an answer."""

    def __init__(self, path: Path, question: bytes, selector: selectors.BaseSelector) -> None:
        self._path = str(path)
        self._question = question
        self._selector = selector
        self._connection: socket.socket | None = None
        self._said = b""
        self.answer = b""  # the last whole one
        self.longest = 0.0
        self._began = time.monotonic()

    def ask(self) -> None:
        """Ask, unless an answer is awaited; again later where nothing listens."""
        if self._connection is not None:
            return
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
            connection.sendall(self._question)
        except OSError:
            connection.close()
            return
        self._connection, self._said = connection, b""
        self._selector.register(connection, selectors.EVENT_READ, self.read)

    def read(self) -> None:
        """Take a part of the answer."""
        assert self._connection is not None, "an answer is awaited"
        try:
            part = self._connection.recv(READ_BYTES)
        except OSError:
            part = b""
        self._said += part
        if part:
            return
        self.close()
        if self._said:
            self.answer = self._said
            now = time.monotonic()
            self.longest, self._began = max(self.longest, now - self._began), now

    def forget(self) -> None:
        """Count from now on."""
        self.longest, self._began = 0.0, time.monotonic()

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._selector.unregister(self._connection)
            self._connection.close()
            self._connection = None


class Asked:
    """Answers the name that is asked for; `longest` is the longest time without a question."""

    def __init__(self, nameserver: ScriptedNameserver, port: int) -> None:
        self._nameserver = nameserver
        self._port = port
        self.longest = 0.0
        self._last = time.monotonic()

    def read(self) -> None:
        """Answer one question."""
        query, client = self._nameserver.question()
        now = time.monotonic()
        self.longest, self._last = max(self.longest, now - self._last), now
        self._nameserver.answer(reply_of(query, address_of(1), 0, self._port), client)

    def forget(self) -> None:
        """Count from now on."""
        self.longest, self._last = 0.0, time.monotonic()


def renew(instance: Instance, site: Site, _setup: Setup, nameserver: ScriptedNameserver) -> Sample:
    """Reload some times; the longest waits in milliseconds, of all reloads."""
    folder = instance.stats_socket.parent
    with selectors.DefaultSelector() as selector:
        main = Asker(folder / f"{PIDFILE}.ping", b"", selector)
        control = Asker(instance.stats_socket, b"show proc\n", selector)
        names = Asked(nameserver, site.probe.servers[0].port)
        selector.register(nameserver, selectors.EVENT_READ, names.read)

        def turn(until: Callable[[], bool], seconds: float) -> None:
            deadline = time.monotonic() + seconds
            while not until() and time.monotonic() < deadline:
                main.ask()
                control.ask()
                for key, _ in selector.select(RETRY_SECONDS):
                    key.data()

        taken: list[float] = []
        turn(lambda: False, SETTLE_SECONDS)
        memory = tree_private_bytes(instance.pid)
        for each in (main, control, names):
            each.forget()
        for _ in range(RELOADS):
            turn(lambda: False, BEFORE_SECONDS)
            before, began = _pid(control), time.monotonic()
            os.kill(instance.pid, signal.SIGUSR2)
            turn(partial(_is_replaced, control, before), RELOAD_SECONDS)
            taken.append(time.monotonic() - began)
            if _pid(control) == before:
                raise ProgramFailedError(f"no reload within {RELOAD_SECONDS:.0f} s")
            turn(lambda: False, BEHIND_SECONDS)
        waits = {
            "main_ms": main.longest * 1000,
            "control_ms": control.longest * 1000,
            "names_ms": names.longest * 1000,
        }
        main.close()
        control.close()
    return {
        **waits,
        "reload_ms": max(taken) * 1000,
        "memory": tree_private_bytes(instance.pid) / memory,
        "units": RELOADS,
    }


def _is_replaced(control: Asker, before: bytes) -> bool:
    return _pid(control) != before


def _pid(control: Asker) -> bytes:
    found = PID.search(control.answer)
    if found is None:
        raise ProgramFailedError(f"no generation: {control.answer[:80]!r}")
    return found[1]
