"""Makes a generation out of settings: sockets, segment, bells, log; carried over or from nothing.

The one place where all parts of a generation meet. Opens descriptors, forks nothing.
"""

from __future__ import annotations

import os

import msgspec

from proxy.config.model import Settings
from proxy.log import LogWriter, open_log
from proxy.log_sockets import open_log_sockets
from proxy.runtime import Bells, Runtime
from proxy.supervisor.carry import (
    Tally,
    carry_counters,
    carry_records,
    known_addresses,
    plan_carry,
    take_tally,
)
from proxy.supervisor.children import Entries
from proxy.supervisor.descriptors import Descriptors, Grant
from proxy.supervisor.fill import fill_restored, fill_segment, shape_of
from proxy.supervisor.generation import Generation
from proxy.supervisor.listening import (
    Held,
    SocketSet,
    count_sockets,
    open_sockets,
    wanted_sockets,
)
from proxy.supervisor.prepare import Prepared
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.resolv_conf import open_resolv_conf
from proxy.supervisor.state_files import open_state_files
from shm.names import NameReader
from shm.segment import Segment


def worker_count(settings: Settings) -> int:
    """`nbthread`, or one worker for each core that this process may use."""
    return settings.globals.nbthread or len(os.sched_getaffinity(0))


class Ground(msgspec.Struct, frozen=True):
    """What the kernel grants a generation: its sockets, and descriptors for its children."""

    sockets: SocketSet
    grant: Grant


def open_all(settings: Settings, inherited: Held, descriptors: Descriptors) -> Ground:
    """Every socket that these settings listen on.

    Raises BindingError, or DescriptorLimitError; then nothing was opened.
    """
    workers = worker_count(settings)
    wants = wanted_sockets(settings, workers)
    grant = descriptors.grant(settings, workers, count_sockets(wants, inherited))
    return Ground(open_sockets(wants, workers, inherited), grant)


class Builder(msgspec.Struct, frozen=True):
    """What all generations of one program share."""

    entries: Entries
    reactor: Reactor
    descriptors: Descriptors
    main_pid: int
    log_fallback: bool  # without `log` lines, to standard error

    def open_log(self, settings: Settings) -> LogWriter:
        """The log that these settings ask for."""
        return open_log(settings.globals, self.main_pid, fallback=self.log_fallback)

    def build(
        self, prepared: Prepared, ground: Ground, now_ms: int, old: Generation | None = None
    ) -> Generation:
        """A generation that is ready to be forked; raises OSError when memory or descriptors end.

        With `old`, everything that still exists is carried over: nobody may write the old slots
        and administrative records any more.
        """
        settings, sockets = prepared.settings, ground.sockets
        assert settings is not None, "there are no settings to build from"
        workers = worker_count(settings)
        number = 1 if old is None else old.runtime.segment.reload_generation + 1
        segment = Segment.create(shape_of(settings, workers, len(sockets.listeners)), number)
        former = None if old is None else (old.runtime.settings, old.runtime.segment)
        known = frozenset() if former is None else known_addresses(*former, settings)
        fill_segment(segment, settings, prepared.initial, known, now_ms)
        fill_restored(segment, prepared.restored, now_ms)
        if former is not None:
            plan = plan_carry(former[0], settings)
            carry_records(*former, settings, segment, plan)
        log = self.open_log(settings)
        runtime = Runtime(
            settings=settings,
            segment=segment,
            bells=Bells.create(workers),
            listeners=sockets.listeners,
            stats_sockets=sockets.stats_sockets,
            service_sockets=sockets.service_sockets,
            workers=workers,
            main_pid=self.main_pid,
            log=log,
            state_files=open_state_files(settings),
            log_sockets=open_log_sockets(settings),
            resolv_conf=open_resolv_conf(settings),
        )
        generation = Generation(
            runtime,
            sockets=sockets,
            descriptors=ground.grant.descriptors,
            entries=self.entries,
            log=log,
            reactor=self.reactor,
            now_ms=now_ms,
        )
        if old is not None:
            old.carried = carry_tally(old, generation)
        return generation


def carry_tally(old: Generation, new: Generation) -> Tally:
    """Carry the counters; what was carried, for the difference at the end of the old ones."""
    names = NameReader(old.runtime.segment)
    plan = plan_carry(old.runtime.settings, new.runtime.settings, names)
    tally = take_tally(old.runtime.segment)
    carry_counters(tally, old.runtime.segment, new.runtime.segment, plan)
    return tally
