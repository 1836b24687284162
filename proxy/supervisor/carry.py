"""What a reload keeps: pairs of (old index, new index) for everything that still exists.

`plan_carry` is pure and compares settings; handover.py copies the records. Counters go on growing
in old workers that finish their sessions: `Tally` holds what was carried, so that the rest can be
added when they have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from proxy.config.model import Proxy, Settings
from resolverd.followed import in_use
from shm.counters import CarriedRow, CounterReader
from shm.histograms import HistogramReader, HistogramWriter
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader

if TYPE_CHECKING:
    from shm.counters import WorkerFields  # exists for type checkers only

Pair = tuple[int, int]
Fields = dict[str, int]


class CarryPlan(NamedTuple):
    """Index pairs, old and new; `addresses` are those of `servers` whose address stays too."""

    servers: tuple[Pair, ...]
    addresses: frozenset[int]  # new slots
    frontends: tuple[Pair, ...]
    backends: tuple[Pair, ...]
    nameservers: tuple[Pair, ...]
    resolutions: tuple[Pair, ...]
    sections: tuple[Pair, ...]


def plan_carry(old: Settings, new: Settings, names: NameReader | None = None) -> CarryPlan:
    """Pair what has the same name in both; a server's address needs host and port alike too.

    `names` are those of the old segment: which nameservers a changed resolv.conf has brought.
    """
    servers = _pairs(_servers(old), _servers(new))
    old_servers, new_servers = old.servers, new.servers
    return CarryPlan(
        servers=servers,
        addresses=frozenset(
            after
            for before, after in servers
            if (old_servers[before].host, old_servers[before].port)
            == (new_servers[after].host, new_servers[after].port)
        ),
        frontends=_pairs(_names(old.frontends), _names(new.frontends)),
        backends=_pairs(_names(old.backends), _names(new.backends)),
        nameservers=_pairs(_nameservers(old, names), _nameservers(new)),
        resolutions=_pairs(_resolutions(old), _resolutions(new)),
        sections=_pairs(_sections(old), _sections(new)),
    )


def _pairs(old: Mapping[Hashable, int], new: Mapping[Hashable, int]) -> tuple[Pair, ...]:
    return tuple((old[key], index) for key, index in new.items() if key in old)


def _servers(settings: Settings) -> dict[Hashable, int]:
    return {
        (proxy.name, server.name): server.slot
        for proxy in settings.backends
        for server in proxy.servers
    }


def _names(proxies: Iterable[Proxy]) -> dict[Hashable, int]:
    return {proxy.name: index for index, proxy in enumerate(proxies)}


def _nameservers(settings: Settings, names: NameReader | None = None) -> dict[Hashable, int]:
    return {
        (section.name, nameserver.name): nameserver.index
        for section in settings.resolverd.sections
        for nameserver in (section.nameservers if names is None else in_use(section, names))
    }


def _sections(settings: Settings) -> dict[Hashable, int]:
    return {section.name: index for index, section in enumerate(settings.resolverd.sections)}


def _resolutions(settings: Settings) -> dict[Hashable, int]:
    return {
        (
            resolution.section,
            resolution.name,
            resolution.preferred,
            resolution.search,
            resolution.all_families,
        ): resolution.index
        for resolution in settings.resolverd.resolutions
    }


def paired_slots(old: Settings, new: Settings) -> frozenset[int]:
    """The new slots of servers that exist already: memory knows more of them than any file."""
    return frozenset(after for _, after in _pairs(_servers(old), _servers(new)))


def known_addresses(old: Settings, segment: Segment, new: Settings) -> frozenset[int]:
    """The new slots whose record is carried: they have an address, or wait for resolverd."""
    plan = plan_carry(old, new)
    reader = SlotTableReader(segment)
    servers = new.servers
    return frozenset(
        after
        for before, after in plan.servers
        if after in plan.addresses
        and (reader.slot(before).address is not None or servers[after].resolvable)
    )


class Tally(NamedTuple):
    """Counter totals of one segment at one moment, by kind and index."""

    worker: WorkerFields
    frontends: dict[int, Fields]
    backends: dict[int, Fields]
    servers: dict[int, Fields]


def take_tally(segment: Segment) -> Tally:
    """Sum all rows."""
    reader = CounterReader(segment)
    shape = segment.shape
    return Tally(
        reader.worker(),
        {index: reader.frontend(index) for index in range(shape.frontends)},
        {index: reader.backend(index) for index in range(shape.backends)},
        {index: reader.server(index) for index in range(shape.slots)},
    )


def carry_counters(tally: Tally, old_segment: Segment, segment: Segment, plan: CarryPlan) -> None:
    """Fill the carried row of a new segment, and what resolverd counted."""
    row = CarriedRow(segment)
    reader = CounterReader(old_segment)
    row.worker(tally.worker)
    for before, after in plan.frontends:
        row.frontend(after, tally.frontends[before])
    for before, after in plan.backends:
        row.backend(after, tally.backends[before])
    for before, after in plan.servers:
        row.server(after, tally.servers[before])
    for before, after in plan.nameservers:
        row.nameserver(after, reader.nameserver(before))
    for before, after in plan.resolutions:
        row.resolution(after, reader.resolution(before))
    histograms, carried = HistogramReader(old_segment), HistogramWriter(segment)
    for before, after in plan.sections:
        carried.carry(after, histograms.words(before))


def add_late(before: Tally, final: Tally, segment: Segment, plan: CarryPlan) -> None:
    """Add what an old generation counted after it was carried, now that it has ended."""
    row = CarriedRow(segment)
    reader = CounterReader(segment)
    last = segment.shape.workers
    row.worker(grown_worker(reader.worker(last), before.worker, final.worker))

    def add(
        pairs: Iterable[Pair],
        kind: Callable[[Tally], dict[int, Fields]],
        read: Callable[[int, int], Fields],
        write: Callable[[int, Fields], None],
    ) -> None:
        for old, new in pairs:
            write(new, grown(read(new, last), kind(before)[old], kind(final)[old]))

    add(plan.frontends, lambda tally: tally.frontends, reader.frontend, row.frontend)
    add(plan.backends, lambda tally: tally.backends, reader.backend, row.backend)
    add(plan.servers, lambda tally: tally.servers, reader.server, row.server)


def grown_worker(present: WorkerFields, before: WorkerFields, final: WorkerFields) -> WorkerFields:
    """`grown` for the process-wide counters."""
    lists = [present["terminations"], before["terminations"], final["terminations"]]
    terminations = [now + end - start for now, start, end in zip(*lists, strict=True)]
    numbers: list[Fields] = [
        {name: value for name, value in fields.items() if isinstance(value, int)}
        for fields in (present, before, final)
    ]
    merged = {**grown(*numbers), "terminations": terminations}
    return cast("WorkerFields", merged)


def grown(present: Fields, before: Fields, final: Fields) -> Fields:
    """Counters plus the difference; of maxima and last times the largest."""
    result: Fields = {}
    for name, value in present.items():
        if name.endswith("_max") or "_max_" in name or name.startswith("last_"):
            result[name] = max(value, final[name])
        else:  # a gauge may have fallen
            result[name] = max(0, value + final[name] - before[name])
    return result
