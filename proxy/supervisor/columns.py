"""Which columns of the gauges the servers of a new generation have: its predecessors', by name.

A server counts its sessions over all generations that live. So its name keeps its column as long as
any of them has it, also when one between them does not; a spare slot that no server has had keeps
the one of its backend's former spare slot. Other columns are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.server_table import ServerTable, spare_slots
from proxy.supervisor.carry import named_servers
from proxy.supervisor.pairs import Pairs
from proxy.supervisor.slices import PORTION, Steps
from shm.columns import columns_give, columns_keep, columns_mark, columns_none
from shm.members import MemberReader, MemberState
from shm.segment import Segment

Content = tuple[ServerTable, Segment]


def settle_columns(
    new: Content, old: Content, pairs: Pairs, older: Callable[[], Iterable[Content]]
) -> Steps[None]:
    """Give each server its column; `pairs` are those of `old` that `new` has, too.

    `older` are the other generations that live, the latest first. Raises GaugesFullError.
    """
    servers, segment = new
    used = columns_none()
    columns_keep(old[1], segment, pairs.old, pairs.new, used)
    yield
    yield from _keep_spare(new, old, used)
    if len(pairs) < len(servers):
        yield from _keep_returned(new, pairs, older(), used)
    for _, living in (old, *older()):
        columns_mark(living, used)
        yield
    columns_give(segment, used)


def _keep_spare(new: Content, old: Content, used: bytearray) -> Steps[None]:
    """Spare slots that are as the file left them: reload after reload takes no more columns."""
    changed = MemberReader(old[1]).changed()
    taken = {member.slot for member in changed if member.state != MemberState.FREE}
    former = {proxy.name: proxy for proxy in old[0].backends if proxy.spare_slots}
    for proxy in new[0].backends:
        before = former.get(proxy.name)
        if before is None or not proxy.spare_slots:
            continue
        found = Pairs()
        for there, here in zip(spare_slots(before), spare_slots(proxy), strict=False):
            if there not in taken:
                found.add(there, here)
        columns_keep(old[1], new[1], found.old, found.new, used)
        yield


def _keep_returned(
    new: Content, pairs: Pairs, older: Iterable[Content], used: bytearray
) -> Steps[None]:
    """Names that the predecessor does not have, but a generation before it."""
    servers, segment = new
    paired = bytearray(segment.shape.slots)
    for slot in pairs.new:
        paired[slot] = True
    missing = {}
    for number, (name, slot) in enumerate(named_servers(servers)):
        if not paired[slot]:
            missing[name] = slot
        if number % PORTION == 0:
            yield
    for former, living in older:
        found = Pairs()
        for number, (name, slot) in enumerate(named_servers(former)):
            if name in missing:
                found.add(slot, missing.pop(name))
            if number % PORTION == 0:
                yield
        columns_keep(living, segment, found.old, found.new, used)
