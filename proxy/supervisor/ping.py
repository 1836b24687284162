"""Answers `millrace ping` beside the pid file (proxy/client/ping.py has the other end).

Nothing is read of a client, and nothing waits for one: the line goes into the buffer of a socket
that was just accepted, and that is closed. Clients are answered one in each turn of the loop.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from proxy.client.ping import FAILING, OK, ping_path
from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.supervisor.binding import (
    SocketOptions,
    open_listener,
    path_identity,
    remove_path,
    shut,
)
from proxy.supervisor.children import Child, Children
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.watch import Life

BACKLOG = 16
MODE = 0o660  # for the group, as monitoring has one


class PingSocket:
    """The listening socket of a program with a pid file."""

    def __init__(self, pidfile: str) -> None:
        """Listen, in the place of a socket that a former program has left; raises BindError."""
        self._endpoint = Endpoint(SocketFamily.UNIX, ping_path(pidfile))
        self._socket = open_listener(self._endpoint, SocketOptions(BACKLOG, mode=MODE))
        self._identity = path_identity(self._endpoint)

    def watched(self, reactor: Reactor, verdict: Callable[[], str]) -> None:
        """Answer from now on."""
        reactor.watch(self._socket.fileno(), lambda _now: self.answer(verdict))

    def answer(self, verdict: Callable[[], str]) -> None:
        """Tell one client; the loop calls again if more wait."""
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self._socket.accept()
            with client, suppress(OSError):
                client.send(f"{verdict()}\n".encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def close(self, reactor: Reactor) -> None:
        """End; a successor's socket in the same place stays."""
        reactor.forget(self._socket.fileno())
        remove_path(self._endpoint, self._identity)
        shut(self._socket, self._endpoint)

    def leave(self, reactor: Reactor) -> None:
        """A successor answers in the same place."""
        reactor.forget(self._socket.fileno())
        self._socket.close()


def is_wanted(pidfile: str | None) -> bool:
    """Whether there is a place beside the pid file: none beside a device."""
    if pidfile is None:
        return False
    with suppress(OSError):
        return stat.S_ISREG(Path(pidfile).lstat().st_mode)
    return False


def verdict(children: Children, *, stopping: bool) -> str:
    """One line of how a generation goes."""
    return line_of(children.workers, children.services, stopping=stopping)


def line_of(workers: Sequence[Child], services: Iterable[Child], *, stopping: bool) -> str:
    """One line of how it goes: well, while any worker serves. At a stop sessions go on ending."""
    everybody = (*workers, *services)
    starting = [child.name for child in everybody if child.watch.life is Life.STARTING]
    away = [
        child.name for child in everybody if child.watch.life not in (Life.SERVING, Life.STARTING)
    ]
    serving = sum(child.watch.life is Life.SERVING for child in workers)
    if stopping:
        return f"{OK}: stopping; {serving} of {len(workers)} workers finish their sessions"
    told = f"{serving} of {len(workers)} workers serve"
    for state, names in (("starting", starting), ("away", away)):
        told += f"; {state}: {', '.join(names)}" if names else ""
    return f"{OK if serving else FAILING}: {told}"
