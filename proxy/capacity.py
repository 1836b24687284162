"""How many sessions, pipes and health checks fit into a worker's descriptors: computed here only.

    descriptors = DESCRIPTORS_RESERVED              segment, epoll sets, event loop, log
                + what is inherited                 bind addresses x workers, bells, log sockets
                + 1 for each check in flight        `checks`: all of a worker's share at once
                + 2 for each pipe                   `pipes`
                + 2 for each session                `sessions`: what is left

What runs asks `capacity_of(runtime)`: the relay how many sessions and pipes it may have, the
checker how many checks it may have in flight (`checks`), control what `show info` tells. The
supervisor asks `descriptors_needed` before it forks. Pure but for the limit of this process.
"""

from __future__ import annotations

import resource
from collections import Counter

import msgspec

from proxy.config.model.settings import Bind, Proxy, Settings, SocketFamily
from proxy.runtime import Runtime
from proxy.server_table import ServerTable, checked_by_program
from shm.shape import GAUGED_SESSIONS_MAX

DESCRIPTORS_DEFAULT_MAX = 20_000  # where neither maxconn nor ulimit-n asks for more
DESCRIPTORS_RESERVED = 64  # of a worker beside all that is counted here
PIPES_MAX = 128  # of all workers: so many the kernel's limit for a user (64 MiB / 2) leaves large
PIPES_SHARE = 16  # a pipe for so many descriptors at the most: they are for sessions first
CHECKS_SHARE = 4  # a check in flight for so many descriptors at the most, for the same reason
CHECKS_MIN = 32  # as many are in flight however few descriptors there are


class Capacity(msgspec.Struct, frozen=True):
    """What the descriptors of each process of a generation are good for."""

    descriptors: int  # limit of each process
    workers: int
    sessions: int  # of one worker
    pipes: int  # of one worker
    checks: int  # of one worker: connects of health checks in flight
    maxconn: int  # sessions that all workers together let in

    @property
    def sessions_all(self) -> int:
        """Sessions that the descriptors of all workers together would allow."""
        return self.sessions * self.workers

    @property
    def pipes_all(self) -> int:
        """Pipes of all workers together."""
        return self.pipes * self.workers


def capacity_of(runtime: Runtime) -> Capacity:
    """What a process of this generation has room for, by its own limit."""
    sockets = len(runtime.listeners) + len(runtime.stats_sockets) + len(runtime.service_sockets)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return capacity(runtime.settings, runtime.workers, sockets, descriptors)


def capacity(settings: Settings, workers: int, sockets: int, descriptors: int) -> Capacity:
    """What so many descriptors are good for where so many sockets listen."""
    pipes = min(_pipes_wanted(settings, workers), descriptors // PIPES_SHARE)
    checks = min(_checks_wanted(settings, workers), max(CHECKS_MIN, descriptors // CHECKS_SHARE))
    taken = _inherited(settings, workers, sockets) + checks + 2 * pipes + DESCRIPTORS_RESERVED
    sessions = min(max(0, (descriptors - taken) // 2), GAUGED_SESSIONS_MAX)
    possible = sessions * workers
    maxconn = min(settings.globals.maxconn or possible, possible)
    return Capacity(descriptors, workers, sessions, pipes, checks, maxconn)


def descriptors_needed(settings: Settings, workers: int, sockets: int, sessions: int) -> int:
    """The limit with which one worker can have so many sessions beside all the rest."""
    taken = _inherited(settings, workers, sockets) + _checks_wanted(settings, workers)
    return taken + 2 * _pipes_wanted(settings, workers) + DESCRIPTORS_RESERVED + 2 * sessions


def listening_sockets(settings: Settings, workers: int) -> int:
    """How many sockets these settings listen on."""
    clients = sum(
        socket_copies(proxy, bind, workers)
        for proxy in settings.frontends
        if not proxy.disabled
        for bind in proxy.binds
    )
    return clients + len(settings.globals.stats_sockets)


def surplus_bind(settings: Settings, workers: int, most: int) -> Bind | None:
    """The bind address with which there are more listening sockets than that."""
    sockets = len(settings.globals.stats_sockets)
    for proxy in settings.frontends:
        for bind in () if proxy.disabled else proxy.binds:
            sockets += socket_copies(proxy, bind, workers)
            if sockets > most:
                return bind
    return None


def socket_copies(proxy: Proxy, bind: Bind, workers: int) -> int:
    """One socket for each worker in one group; one for all where the kernel has no such groups.

    Statistics are served by one process.
    """
    internet = bind.endpoint.family in (SocketFamily.IPV4, SocketFamily.IPV6)
    return workers if internet and proxy.http is None else 1


def _pipes_wanted(settings: Settings, workers: int) -> int:
    """One at least, unless `maxpipes` is smaller than the number of workers."""
    wanted = max(1, PIPES_MAX // workers)
    ordered = settings.globals.pipes_max
    return min(wanted, ordered // workers) if ordered else wanted


def _checks_wanted(settings: Settings, workers: int) -> int:
    """The largest share of checks and agents (proxy/health/share.py), all in flight at once."""
    shares: Counter[int] = Counter()
    for proxy, server in ServerTable(settings).watched():
        if checked_by_program(proxy, server):
            continue  # by the runner, its agent, too
        shares[server.slot % workers] += (server.check is not None) + (server.agent is not None)
    return max(shares.values(), default=0)


def _inherited(settings: Settings, workers: int, sockets: int) -> int:
    """What each worker inherits: sockets, bells, stick tables and the targets of access logs."""
    targets = {
        target.endpoint or target.descriptor
        for proxy in settings.frontends
        if proxy.access_log is not None
        for target in proxy.access_log.targets
    }
    bells = 2 * workers + 3
    return sockets + bells + len(settings.tables) + len(targets)
