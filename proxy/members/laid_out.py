"""In which backends turns are laid out, and not found one by one.

A relay finds whose turn it is by the servers of each weight (relay/balance/rota.pxd), at a cost
that does not grow with their number, and follows each change by looking at that server alone. It
cannot where the order is another than that of evenly spread turns: in HAProxy's maps of unequal
weights (`static-rr`, hashes without `hash-type consistent`), and in `balance first` by ids that do
not ascend. There each change has all servers laid out anew, by the main threads of workers where
they are many, in their time: changes that come meanwhile are laid out together.
Must not know the segment.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter

from proxy.config.model.settings import Balance, Proxy, Server
from proxy.server_table import ServerTable


def laid_out(proxy: Proxy, servers: Iterable[Server]) -> bool:
    """Whether the turns of these servers of a backend are laid out."""
    if proxy.weights_fixed:
        weights = {server.balancing.weight for server in servers}
        return len(weights) > 1 or 0 in weights
    if proxy.balance is Balance.FIRST:
        ids = (server.id for server in sorted(servers, key=attrgetter("slot")))
        return any(first > second for first, second in pairwise(ids))
    return False


class LaidOut:
    """The same for all backends of a table, judged anew only where servers came or went."""

    def __init__(self, servers: ServerTable) -> None:
        self._servers = servers
        self._known: dict[int, tuple[tuple[Server, ...], bool]] = {}

    def of(self, backend: int) -> bool:
        """Whether the turns of the backend with this index are laid out."""
        proxy = self._servers.backends[backend]
        servers = self._servers.of(proxy)
        known = self._known.get(backend)
        if known is None or known[0] is not servers:
            known = self._known[backend] = servers, laid_out(proxy, servers)
        return known[1]
