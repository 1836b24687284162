"""What a reload keeps: pairs of (old index, new index) for everything that still exists.

`plan_carry` is pure and compares settings; handover.py copies the records. Counters go on growing
in old workers that finish their sessions: a tally holds what was carried, so that the rest can be
added when they have ended.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.model import Proxy, Settings
from proxy.supervisor.slices import PORTION, Steps, portions
from resolverd.followed import in_use
from shm.histograms import HistogramReader, HistogramWriter
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.tally import Tally, carry_nameservers, carry_resolutions

if TYPE_CHECKING:
    from shm.tally import Kind  # exists for type checkers only

Pair = tuple[int, int]


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


def take_tally(segment: Segment) -> Steps[Tally]:
    """Sum all rows."""
    tally, shape = Tally(segment), segment.shape
    kinds: tuple[tuple[Kind, int], ...] = (
        ("worker", 1),
        ("frontend", shape.frontends),
        ("backend", shape.backends),
        ("server", shape.slots),
    )
    for kind, count in kinds:
        for first in range(0, count, PORTION):
            tally.take(segment, kind, first, min(count, first + PORTION))
            yield
    return tally


def carry_counters(tally: Tally, segment: Segment, plan: CarryPlan) -> Steps[None]:
    """Fill the carried row of a new segment."""
    for kind, pairs in _counted(plan):
        for portion in portions(pairs):
            tally.carry(segment, kind, portion)
            yield


def carry_answers(old: Segment, new: Segment, plan: CarryPlan) -> None:
    """Copy what resolverd has counted and knows of names; it writes no more, and costs little."""
    carry_nameservers(old, new, plan.nameservers)
    carry_resolutions(old, new, plan.resolutions)
    histograms, carried = HistogramReader(old), HistogramWriter(new)
    for before, after in plan.sections:
        carried.carry(after, histograms.words(before))


def add_late(before: Tally, final: Tally, segment: Segment, plan: CarryPlan) -> Steps[None]:
    """Add what an old generation counted after it was carried, now that it has ended."""
    for kind, pairs in _counted(plan):
        for portion in portions(pairs):
            final.add_late(before, segment, kind, portion)
            yield


def _counted(plan: CarryPlan) -> tuple[tuple[Kind, tuple[Pair, ...]], ...]:
    return (
        ("worker", ((0, 0),)),
        ("frontend", plan.frontends),
        ("backend", plan.backends),
        ("server", plan.servers),
    )
