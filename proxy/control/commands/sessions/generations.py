"""The generations whose sessions operators see and end: the running one, then those before it.

What words mean is asked of each by itself: a server may be in one file and not in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property

from proxy.control.command import CommandError
from proxy.control.commands.sessions.identity import SessionId
from proxy.control.commands.sessions.questions import Relays, Wanted
from proxy.control.commands.sessions.texts import SessionNames
from proxy.control.commands.sessions.words import NamedSection
from proxy.control.old_generations import OldGeneration
from proxy.control.rows.directory import Directory
from proxy.control.rows.report import Report
from proxy.members.table_changes import members_now
from proxy.runtime import Runtime
from proxy.server_table import ServerTable

GENERATION_MASK = 0xFF  # of an id


class SessionsOf:
    """One generation, as questions about its sessions need it."""

    def __init__(
        self, runtime: Runtime, old: OldGeneration | None, directory: Directory | None
    ) -> None:
        """`old`: it is one; without a `directory` one is made when words ask for it."""
        self.number = runtime.segment.reload_generation
        self.relays = Relays(runtime, old=old is not None)
        self.old = old
        self._runtime = runtime
        self._directory = directory

    def held(self) -> AbstractContextManager[None]:
        """It may be asked until this is over, though it may end."""
        return nullcontext() if self.old is None else self.old.held()

    @cached_property
    def names(self) -> SessionNames:
        """What its records number."""
        number = None if self.old is None else self.number
        return SessionNames.of(self._runtime.settings, self._servers, number)

    @cached_property
    def _servers(self) -> ServerTable:
        """Its servers; of an old one those that it had at last."""
        runtime = self._runtime
        if self.old is None:
            return runtime.servers
        return members_now(runtime.servers, runtime.segment)

    @property
    def directory(self) -> Directory:
        """What its file calls proxies and servers."""
        if self._directory is None:
            self._directory = Directory(self._runtime.settings, self._servers, indexed=False)
        return self._directory

    def has(self, one: SessionId) -> bool:
        """Whether a session with this id may be here."""
        same = one.generation == self.number & GENERATION_MASK
        return same and one.worker < self.relays.workers

    def worker_text(self, worker: int) -> str:
        """How its workers are named."""
        of = f" of generation {self.number}" if self.old else ""
        return f"worker {worker}{of} (process {self.relays.pid(worker) or 'none'})"


def asked_workers(generation: SessionsOf, one: SessionId | None) -> list[int]:
    """Its living workers that may have such sessions."""
    workers = range(generation.relays.workers) if one is None else (one.worker,)
    return [worker for worker in workers if generation.relays.pid(worker)]


class Sessions:
    """All generations that may have sessions, or `only` one; `report` knows which live."""

    def __init__(self, report: Report, only: int | None = None) -> None:
        self._report = report
        self._only = only
        self._this = SessionsOf(report.runtime, None, report.directory)
        self._old: dict[int, SessionsOf] = {}

    def _all(self) -> list[SessionsOf]:
        known, living = self._old, self._report.old.living()
        self._old = {
            each.number: known.get(each.number) or SessionsOf(each.runtime, each, None)
            for each in living
        }
        every = [self._this, *self._old.values()]
        return [each for each in every if self._only in (None, each.number)]

    @contextmanager
    def asked(
        self, wanted: Wanted, section: NamedSection | None = None, one: SessionId | None = None
    ) -> Iterator[list[tuple[SessionsOf, Wanted]]]:
        """Those that may have such sessions, with what is wanted of each; held until this is over.

        Raises CommandError for a section that none of them has, as the running one says it.
        """
        found, refused = [], None
        for each in self._all():
            if one is not None and not each.has(one):
                continue
            try:
                narrowed = section.narrow(wanted, each.directory) if section else wanted
                found.append((each, narrowed))
            except CommandError as error:
                refused = refused or error
        if not found and refused is not None:
            raise refused
        with ExitStack() as stack:
            for each, _ in found:
                stack.enter_context(each.held())
            yield found
