"""Follows servers that come and go at run time: what the relay and the checks of a worker make of
it.

A worker says how far it has come once everything here goes by it: only then is a command answered,
or a slot used again.
"""

from __future__ import annotations

from typing import Protocol

from proxy.config.model.settings import Proxy, Server
from proxy.health.share import CheckedServer, joined
from proxy.members.table_changes import ServerMembers, spare_backends
from proxy.runtime import Runtime
from shm.check_texts import CheckTextWriter
from shm.processes import ProcessSelf
from shm.slots import HealthTableWriter
from shm.states import HEALTH_NONE


class JoinedRelay(Protocol):
    """What is done to a relay."""

    def name_backend(self, proxy: Proxy) -> None:
        """A spare backend has got a name."""

    def empty_backend(self, backend: int) -> bool:
        """Forget what was counted of one; False while a session is there."""

    def add(self, server: Server) -> None:
        """A server was added."""

    def rename(self, server: Server) -> None:
        """One has another name."""

    def remove(self, slot: int) -> None:
        """One was deleted."""

    def empty(self, slot: int) -> bool:
        """Forget what was counted of a slot; False while a session is there."""


class JoinedChecks(Protocol):
    """What is done to checks."""

    def take(self, server: CheckedServer) -> None:
        """Check one more server."""

    def drop(self, slot: int) -> None:
        """Check this one no more."""


class Joining:
    """The changes of one worker."""

    def __init__(self, runtime: Runtime, worker: int, process: ProcessSelf) -> None:
        """Bring the table up to date, from which the worker makes everything then."""
        self._runtime = runtime
        self._worker = worker
        self._process = process
        self._members = ServerMembers(runtime.servers, runtime.segment)
        self._spare = spare_backends(runtime.servers.backends)
        self._unemptied = self._members.catch_up().emptied
        self.wants_checks = False  # a server came that this worker checks, and no checks were there

    def begin(self, relay: JoinedRelay) -> None:
        """The relay is there, and goes by the table."""
        self._relay = relay
        self._say()

    def look(self, checks: JoinedChecks | None) -> None:
        """Follow what has changed; without `checks` none are made yet, or any more."""
        changes = self._members.catch_up()
        if not (any(changes) or self._unemptied):
            return
        for proxy in changes.named:
            self._relay.name_backend(proxy)
        for server in changes.removed:
            self._relay.remove(server.slot)
            if checks is not None:
                checks.drop(server.slot)
        for server in changes.added:
            self._relay.add(server)
            self._check(server, checks)
        for _, server in changes.renamed:
            self._relay.rename(server)
            if checks is not None:
                checks.drop(server.slot)  # which has none: it is in maintenance
            self._check(server, checks)
        self._unemptied += changes.emptied
        self._say()

    def _check(self, server: Server, checks: JoinedChecks | None) -> None:
        runtime = self._runtime
        mine = joined(runtime.servers, server, runtime.workers, self._worker)
        if checks is not None and mine is not None:
            checks.take(mine)
        self.wants_checks |= checks is None and mine is not None

    def _say(self) -> None:
        """Empty what is to be empty, then say how far this worker has come."""
        self._unemptied = [slot for slot in self._unemptied if not self._empty(slot)]
        if not self._unemptied:
            self._process.applied(self._members.seen)

    def _empty(self, slot: int) -> bool:
        if slot in self._spare:
            return self._relay.empty_backend(self._spare[slot])
        if not self._relay.empty(slot):
            return False
        if slot % self._runtime.workers == self._worker:
            segment = self._runtime.segment
            HealthTableWriter(segment).publish(slot, HEALTH_NONE, changed=False)
            CheckTextWriter(segment).publish(slot, "", 0)
        return True
