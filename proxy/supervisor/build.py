"""Makes a generation out of settings: sockets, segment, bells, log; carried over or from nothing.

The one place where all parts of a generation meet. Opens descriptors, forks nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from proxy.config.model.settings import Endpoint, Settings
from proxy.config.report import render
from proxy.config.text.messages import Severity
from proxy.control.pausing import listen_again
from proxy.log import LogWriter, open_log
from proxy.log_sockets import close_log_sockets, open_log_sockets
from proxy.members.table_changes import members_now
from proxy.runtime import Bells, Log, Runtime, now_ms
from proxy.server_table import Configured
from proxy.supervisor.carry import (
    Carried,
    carry_answers,
    carry_counters,
    known_addresses,
    pair_nameservers,
    plan_carry,
    take_tally,
)
from proxy.supervisor.children import Entries
from proxy.supervisor.columns import Content, settle_columns
from proxy.supervisor.descriptors import Descriptors, Grant
from proxy.supervisor.faults import Faults
from proxy.supervisor.fill import fill_restored, filling, shape_of
from proxy.supervisor.former import Former
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.giving import Given
from proxy.supervisor.handover import Handover
from proxy.supervisor.listening import (
    Held,
    SocketSet,
    count_sockets,
    open_sockets,
    wanted_sockets,
)
from proxy.supervisor.lists import open_lists
from proxy.supervisor.preload import preload_for
from proxy.supervisor.prepare import Prepared
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.remnants import open_outside
from proxy.supervisor.resolv_conf import close_resolv_conf, open_resolv_conf
from proxy.supervisor.shared_variables import set_shared_variables
from proxy.supervisor.slices import Steps
from proxy.supervisor.state_files import close_state_files, open_state_files
from proxy.supervisor.tables import open_tables, take_entries
from proxy.supervisor.workers import worker_count
from proxy.tls import make_context
from resolverd.config import LinkedFile, StateFile
from shm.check_orders import CheckOrders
from shm.events import EventRing
from shm.names import NameReader
from shm.segment import Segment
from shm.shape import Shape
from shm.tables.memory import StickTable
from shm.tally import carry_rates

if TYPE_CHECKING:
    from ssl import SSLContext


class Ground(msgspec.Struct, frozen=True):
    """What the kernel grants a generation: its sockets, and descriptors for its children."""

    workers: int
    sockets: SocketSet
    grant: Grant


def open_all(settings: Settings, inherited: Held, descriptors: Descriptors) -> Ground:
    """Every socket that these settings listen on.

    Raises BindingError, or DescriptorLimitError; then nothing was opened.
    """
    workers = worker_count(settings)
    wants = wanted_sockets(settings, workers)
    grant = descriptors.grant(settings, workers, count_sockets(wants, inherited))
    return Ground(workers, open_sockets(wants, workers, inherited), grant)


def _open_files(
    configured: Configured, undo: ExitStack
) -> tuple[tuple[StateFile, ...], dict[Endpoint, int], LinkedFile | None]:
    """State files that are kept up to date, sockets of the access log, the resolv.conf followed."""
    settings = configured.settings
    state_files = open_state_files(configured.servers)
    undo.callback(close_state_files, state_files)
    log_sockets = open_log_sockets(settings)
    undo.callback(close_log_sockets, log_sockets)
    resolv_conf = open_resolv_conf(settings)
    undo.callback(close_resolv_conf, resolv_conf)
    return state_files, log_sockets, resolv_conf


class Builder(msgspec.Struct, frozen=True):
    """What all generations of one program share."""

    entries: Entries
    reactor: Reactor
    faults: Faults
    descriptors: Descriptors
    main_pid: int
    begun_ms: int  # when the program began
    log_fallback: bool  # without `log` lines, to standard error
    events: EventRing
    master_calls: socket.socket | None = None  # from the master CLI, for each control
    given: Given = msgspec.field(default_factory=Given)

    def open_log(self, settings: Settings) -> LogWriter:
        """The log that these settings ask for."""
        return open_log(
            settings.globals, self.main_pid, fallback=self.log_fallback, events=self.events
        )

    def build(
        self,
        prepared: Prepared,
        ground: Ground,
        now_ms: int,
        old: Generation | Former | None = None,
        older: Callable[[], Iterable[Generation]] = tuple,
    ) -> Steps[Generation]:
        """A generation that is ready to be forked; raises OSError when memory or descriptors end.

        With `old`, records of all that still exists are copied; `hand_over` brings the rest. Other
        generations, the `older`, share the gauges; raises GaugesFullError when these are full.
        """
        settings, sockets, workers = prepared.settings, ground.sockets, ground.workers
        assert settings is not None, "there are no settings to build from"
        configured = Configured.of(settings)
        with ExitStack() as undo:
            segment = _new_segment(shape_of(configured, workers, len(sockets.listeners)), old)
            undo.callback(segment.close)
            check_orders = CheckOrders()
            handover = yield from self._fill(
                segment, prepared, configured, now_ms, check_orders, old=old, older=older
            )
            log = self.open_log(settings)
            undo.callback(log.close)
            bells = Bells.create(workers, segment.shape.runners)
            undo.callback(bells.close)
            state_files, log_sockets, resolv_conf = _open_files(configured, undo)
            runtime = Runtime(
                settings=settings,
                servers=configured.servers,
                segment=segment,
                bells=bells,
                listeners=sockets.listeners,
                stats_sockets=sockets.stats_sockets,
                service_sockets=sockets.service_sockets,
                workers=workers,
                main_pid=self.main_pid,
                begun_ms=self.begun_ms,
                log=log,
                state_files=state_files,
                log_sockets=log_sockets,
                resolv_conf=resolv_conf,
                tls_contexts=(yield from _make_contexts(settings)),
                outside=open_outside(segment.shape.runners, undo),
                tables=(yield from _tables(settings, segment, old, log)),
                lists=open_lists(settings, workers, log),
                environment=prepared.environment,
                kept=prepared.kept,
                startup_logs=self._told(prepared),
                check_orders=check_orders,
                events=self.events,
                master_calls=self.master_calls,
                given=self.given.descriptor,
            )
            set_shared_variables(runtime)
            preload_for(settings)
            generation = Generation(
                runtime,
                sockets=sockets,
                descriptors=ground.grant.descriptors,
                entries=self.entries,
                log=log,
                reactor=self.reactor,
                now_ms=now_ms,
                handover=handover,
                gated=old is not None,
            )
            generation.resources = undo.pop_all()
        return generation

    def _told(self, prepared: Prepared) -> tuple[str, ...]:
        """What a terminal shows of the files."""
        shown = (each for each in prepared.messages if each.severity is not Severity.DIAG)
        return tuple(render(each, self.main_pid) for each in shown)

    def _fill(
        self,
        segment: Segment,
        prepared: Prepared,
        configured: Configured,
        now_ms: int,
        check_orders: CheckOrders,
        *,
        old: Generation | Former | None,
        older: Callable[[], Iterable[Generation]],
    ) -> Steps[Handover | None]:
        """All records as the files say and as they were; the way to the rest of the latter."""
        if old is None or old.runtime is None:
            yield from filling(segment, configured, prepared.initial, frozenset(), now_ms)
            fill_restored(segment, prepared.restored, now_ms)
            return None
        former = (members_now(old.runtime.servers, old.runtime.segment), old.runtime.segment)
        new = (configured.servers, segment)
        plan = yield from plan_carry(Configured(old.runtime.settings, former[0]), configured)
        known = yield from known_addresses(*former, configured.servers, plan.counted.servers)
        yield from filling(segment, configured, prepared.initial, known, now_ms)
        fill_restored(segment, prepared.restored, now_ms)
        if isinstance(old, Generation):
            pairs = plan.counted.servers
            yield from settle_columns(new, former, pairs, lambda: _contents(older()))
        orders = (old.runtime.check_orders, check_orders)
        handover = Handover(former, new, plan, known, orders)
        yield from handover.copy()
        return handover


def _tables(
    settings: Settings, segment: Segment, old: Generation | Former | None, log: Log
) -> Steps[tuple[StickTable, ...]]:
    """The stick tables, with what those of the program before know."""
    tables = open_tables(settings.tables, segment, None if old is None else old.runtime, log)
    if isinstance(old, Former):
        yield from take_entries(old.tables(), tables, log)
    return tables


def _new_segment(shape: Shape, former: Generation | Former | None) -> Segment:
    """The next generation's segment, which shares the gauges of the former, if it can."""
    if former is None:
        return Segment.create(shape)
    gauges = former.runtime.segment.gauges if isinstance(former, Generation) else None
    return Segment.create(shape, former.number + 1, gauges)


def _make_contexts(settings: Settings) -> Steps[tuple[SSLContext, ...]]:
    """The contexts of checks over TLS; each takes some milliseconds."""
    made = []
    for wanted in settings.tls_contexts:
        made.append(make_context(wanted))
        yield
    return tuple(made)


def _contents(generations: Iterable[Generation]) -> list[Content]:
    """Those of generations that have not ended, the latest first."""
    living = [each.runtime for each in generations if each.phase is not Phase.ENDED]
    return [
        (members_now(runtime.servers, runtime.segment), runtime.segment)
        for runtime in reversed(living)
    ]


def hand_over(old: Generation | Former, new: Generation) -> Steps[None]:
    """Bring what the old resolverd and control wrote until their end, and the counters.

    What they counted last is seen first by their successors, so no total ever falls.
    """
    handover, (before, after) = new.handover, (old.runtime, new.runtime)
    listen_again(after)
    if before is None:  # a segment that cannot be read
        return
    assert handover is not None, "nothing to hand over to the first generation"
    yield from handover.copy_moved()
    names = NameReader(before.segment)
    nameservers = yield from pair_nameservers(before.settings, after.settings, names)
    plan = handover.plan
    yield from carry_answers(before.segment, after.segment, plan, nameservers)
    tally = yield from take_tally(before.segment)
    yield from carry_counters(tally, after.segment, plan.counted)
    carry_rates(before.segment, after.segment, plan.counted.frontends, now_ms())
    old.carried = Carried.by(tally, plan.counted)
    new.handover = None
    after.bells.ring_table()
