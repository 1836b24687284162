"""What a reload keeps: pairs of (old index, new index) for everything that still exists.

`plan_carry` compares configurations; handover.py copies the records. Counters go on growing in old
workers that finish their sessions: a tally holds what was carried, so that the rest can be added
(late_counts.py). All of it goes in portions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.model.settings import Proxy, Settings
from proxy.members.table_changes import MembersOf, name_after_reload, same_place
from proxy.server_table import Configured, ServerTable
from proxy.supervisor.pairs import Counted, Named, Onward, Pairs, Way, pair
from proxy.supervisor.slices import PORTION, Steps
from resolverd.config import Family, ResolutionSettings
from resolverd.resolv_conf.nameserver_rows import in_use
from shm.counters import CounterReader
from shm.histograms import HistogramReader, HistogramWriter
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.tally import Tally, carry_nameservers, carry_resolutions

if TYPE_CHECKING:
    from shm.tally import Kind  # exists for type checkers only


class CarryPlan(NamedTuple):
    """What is the same in two configurations."""

    counted: Counted
    resolutions: Pairs
    sections: Pairs
    added_names: Pairs  # rows of servers that were added, of which one has the name's record


class Carried(NamedTuple):
    """Counters as they were when successors took them over, and their way to the newest one."""

    tally: Tally
    onward: Onward
    way: Way

    @classmethod
    def by(cls, tally: Tally, counted: Counted) -> Carried:
        """Taken over by the next generation, whose pairs these are."""
        onward = Onward(counted)
        return cls(tally, onward, Way(onward))


def plan_carry(old: Configured, new: Configured) -> Steps[CarryPlan]:
    """Pair what has the same name in both."""
    before, after = old.settings, new.settings
    frontends = yield from pair(_names(before.frontends), _names(after.frontends))
    backends = yield from pair(_names(old.servers.backends), _names(new.servers.backends))
    names = _former_servers(old.servers, new.servers)
    servers = yield from pair(names, named_servers(new.servers))
    rules = yield from pair(_rules(before), _rules(after))
    resolutions = yield from pair(_resolutions(before), _resolutions(after))
    sections = yield from pair(_sections(before), _sections(after))
    counted = Counted(frontends, backends, servers, rules)
    return CarryPlan(counted, resolutions, sections, _added_names(old.servers, after))


def pair_nameservers(old: Settings, new: Settings, names: NameReader) -> Steps[Pairs]:
    """The same for nameservers; `names` (of the old segment) are what a resolv.conf has brought."""
    return pair(
        (
            ((section.name, nameserver.name), nameserver.index)
            for section in old.resolverd.sections
            for nameserver in in_use(section, names)
        ),
        (
            ((section.name, nameserver.name), nameserver.index)
            for section in new.resolverd.sections
            for nameserver in section.nameservers
        ),
    )


def named_servers(servers: ServerTable) -> Iterator[tuple[tuple[str, str], int]]:
    """All servers by name, with their slots."""
    for proxy in servers.backends:
        for server in servers.of(proxy):
            yield (proxy.name, server.name), server.slot


def _former_servers(old: ServerTable, new: ServerTable) -> Named:
    """All servers by name, a renamed one by that under which it goes on.

    A name that two have, because another server has got it since, is that of the second one: unless
    only the first is where the files say.
    """
    heirs, holders = MembersOf(new), MembersOf(old)
    former = {}  # by slot
    for configured, now in old.renamed():
        name = name_after_reload(configured, now, heirs[old.backends[now.backend_index].name])
        if name == configured.name:
            former[now.slot] = name
    in_place = []
    for (backend, _), slot in named_servers(old) if former else ():
        if slot not in former:
            continue
        name = former[slot]
        heir, holder = heirs[backend].get(name), holders[backend].get(name)
        stands = heir is not None and same_place(heir, old[slot])
        if stands and holder is not None and not same_place(holder, old[slot]):
            in_place.append(((backend, name), slot))
        else:
            yield (backend, name), slot
    for named, slot in named_servers(old):
        if slot not in former:
            yield named, slot
    yield from in_place


def _names(proxies: Iterable[Proxy]) -> Named:
    for index, proxy in enumerate(proxies):
        yield proxy.name, index


def _rules(settings: Settings) -> Named:
    """By section and text; of those that are the same there, which it is."""
    before: Counter[tuple[str, str]] = Counter()
    for proxy, rule in settings.rules:
        name = (proxy.name, rule.text)
        yield (*name, before[name]), rule.number
        before[name] += 1


def _sections(settings: Settings) -> Named:
    for index, section in enumerate(settings.resolverd.sections):
        yield section.name, index


def _resolutions(settings: Settings) -> Named:
    for each in settings.resolverd.resolutions:
        yield _asked(each), each.index


def _asked(name: ResolutionSettings) -> tuple[str, str, Family, bool, bool]:
    return name.section, name.name, name.preferred, name.search, name.all_families


def _added_names(old: ServerTable, new: Settings) -> Pairs:
    """The rows that added servers have lent to names which the files have by now."""
    rows: dict[Hashable, list[int]] = {}
    for server in old.added():
        if server.resolution is not None and server.resolution.name:
            rows.setdefault(_asked(server.resolution), []).append(server.resolution.index)
    named = _resolutions(new) if rows else ()
    return Pairs((row, index) for name, index in named for row in rows.get(name, ()))


def known_addresses(
    old: ServerTable, segment: Segment, new: ServerTable, pairs: Pairs
) -> Steps[frozenset[int]]:
    """The new slots whose record is carried: they have an address, or wait for resolverd.

    Those are servers whose line has the same host and port as before.
    """
    reader = SlotTableReader(segment)
    known = set()
    for number, (before, after) in enumerate(pairs):
        was, now = old[before], new[after]
        if (was.host, was.port) == (now.host, now.port) and (
            now.resolvable or reader.slot(before).address is not None
        ):
            known.add(after)
        if number % PORTION == 0:
            yield
    return frozenset(known)


def take_tally(segment: Segment) -> Steps[Tally]:
    """Sum all rows."""
    tally, shape = Tally(segment), segment.shape
    kinds: tuple[tuple[Kind, int], ...] = (
        ("worker", 1),
        ("frontend", shape.frontends),
        ("backend", shape.backends),
        ("server", shape.slots),
        ("rule", shape.rules),
    )
    for kind, count in kinds:
        for first in range(0, count, PORTION):
            tally.take(segment, kind, first, min(count, first + PORTION))
            yield
    return tally


def carry_counters(tally: Tally, segment: Segment, counted: Counted) -> Steps[None]:
    """Fill the carried row of a new segment."""
    for kind, pairs in _kinds(counted):
        for portion in pairs.portions():
            tally.carry(segment, kind, portion)
            yield


def carry_answers(old: Segment, new: Segment, plan: CarryPlan, nameservers: Pairs) -> Steps[None]:
    """Copy what resolverd has counted and knows of names; it writes no more."""
    carry_nameservers(old, new, nameservers)
    for portion in plan.resolutions.portions():
        carry_resolutions(old, new, portion)
        yield
    counters = CounterReader(old)
    for before, after in plan.added_names:
        if counters.resolution(before)["last_valid_ms"]:
            carry_resolutions(old, new, [(before, after)])
        yield
    histograms, carried = HistogramReader(old), HistogramWriter(new)
    for before, after in plan.sections:
        carried.carry(after, histograms.words(before))


def add_late(carried: Carried, segment: Segment, last: Onward, newest: Segment) -> Steps[None]:
    """Add what a generation has counted since the last time to the newest one.

    `last` is how that one got its counters. May be ended at any step, and done again.
    """
    yield from carried.way.lead_to(last)
    for kind, pairs in _kinds(carried.way.counted):
        for portion in pairs.portions():
            carried.tally.add_late(segment, newest, kind, portion)
            yield


def _kinds(counted: Counted) -> tuple[tuple[Kind, Pairs], ...]:
    return (
        ("worker", Pairs([(0, 0)])),
        ("frontend", counted.frontends),
        ("backend", counted.backends),
        ("server", counted.servers),
        ("rule", counted.rules),
    )
