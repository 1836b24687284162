"""Which columns of the gauges the servers of a new generation have: its predecessors', by name.

A server counts its sessions over all generations that live. So its name keeps its column as long as
any of them has it, also when one between them does not; other columns are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.server_table import ServerTable
from proxy.supervisor.carry import named_servers
from proxy.supervisor.pairs import Pairs
from proxy.supervisor.slices import PORTION, Steps
from shm.columns import columns_give, columns_keep, columns_mark, columns_none
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
    if len(pairs) < len(servers):
        yield from _keep_returned(new, pairs, older(), used)
    for _, living in (old, *older()):
        columns_mark(living, used)
        yield
    columns_give(segment, used)


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
