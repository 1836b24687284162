"""All sockets of one generation: which are wanted, which are inherited, which must be opened.

One socket per worker and bind address in one SO_REUSEPORT group; one shared socket where the
kernel has no such groups (unix, abns) or the socket came from the parent (fd@). A reload hands
open sockets over by address: none is closed with clients in its queue, surplus ones of fewer
workers go on being served.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable

import msgspec

from proxy.capacity import socket_copies
from proxy.config.model.settings import (
    Bind,
    Endpoint,
    KeepAlive,
    Proxy,
    Settings,
    SocketFamily,
    StatsSocket,
)
from proxy.runtime import ListeningSocket
from proxy.supervisor.binding import (
    INTERNET,
    BindError,
    SocketOptions,
    apply_options,
    describe,
    open_listener,
    path_identity,
    remove_path,
)

STATS_BACKLOG = 64
# Address, IPv6 only, interface, transparent: what cannot change later.
Key = tuple[Endpoint, bool | None, str | None, bool]


class Want(msgspec.Struct, frozen=True):
    """One address that a configuration listens on."""

    endpoint: Endpoint
    options: SocketOptions
    place: str  # "[edge.cfg:6] for proxy web", for messages
    copies: int  # sockets in the group
    bind: Bind | None = None  # of clients
    service_frontend: int | None = None  # of a statistics section; neither: a stats socket

    @property
    def key(self) -> Key:
        """What makes an inherited socket the same one."""
        options = self.options
        return self.endpoint, options.v6only, options.interface, options.transparent


class BindingError(Exception):
    """Some sockets could not be opened; `lines` says which and why."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        """One line for each address."""
        super().__init__("; ".join(lines))
        self.lines = lines


class OpenSocket(msgspec.Struct, frozen=True):
    """One open socket and the path that it made, if any."""

    socket: socket.socket
    endpoint: Endpoint
    identity: tuple[int, int] | None = None


Held = dict[Key, list[OpenSocket]]


class SocketSet(msgspec.Struct, frozen=True):
    """What one generation listens on; `held` is all of it, by address, for the next one."""

    listeners: tuple[ListeningSocket, ...]
    stats_sockets: tuple[socket.socket, ...]
    service_sockets: tuple[tuple[int, socket.socket], ...]
    held: Held
    fresh: tuple[OpenSocket, ...]  # not inherited


def listens(settings: Settings) -> bool:
    """Whether there is an address to listen on; a stats socket is enough, as for HAProxy."""
    return bool(settings.binds or settings.globals.stats_sockets)


def wanted_sockets(settings: Settings, workers: int) -> list[Want]:
    """Every address that these settings listen on, in the order of the file."""
    wants = []
    for proxy in settings.frontends:
        if proxy.disabled:
            continue
        for bind in proxy.binds:
            serves_clients = proxy.http is None
            wants.append(
                Want(
                    endpoint=bind.endpoint,
                    options=_options(settings, proxy, bind),
                    place=f"[{bind.origin.file}:{bind.origin.line}] for proxy {proxy.name}",
                    copies=socket_copies(proxy, bind, workers),
                    bind=bind if serves_clients else None,
                    service_frontend=None if serves_clients else proxy.frontend_index,
                )
            )
    for stats in settings.globals.stats_sockets:
        place = f"[{stats.origin.file}:{stats.origin.line}] for stats socket"
        wants.append(stats_want(stats, place))
    return wants


def stats_want(stats: StatsSocket, place: str) -> Want:
    """The address of one socket for operators; `place` is what messages call it."""
    options = SocketOptions(STATS_BACKLOG, mode=stats.mode, user=stats.user, group=stats.group)
    return Want(endpoint=stats.endpoint, options=options, place=place, copies=1)


def _options(settings: Settings, proxy: Proxy, bind: Bind) -> SocketOptions:
    """`backlog` of the bind line, of the section, or what `maxconn` lets wait."""
    backlog = (
        bind.backlog
        or proxy.backlog
        or bind.maxconn
        or proxy.maxconn
        or settings.globals.maxconn
        or socket.SOMAXCONN
    )
    v6only = True if bind.v6only else False if bind.v4v6 else None
    return SocketOptions(
        backlog,
        v6only,
        proxy.client_keepalive,
        bind.unix_mode,
        bind.unix_user,
        bind.unix_group,
        bind.interface,
        bind.transparent,
        proxy.client_probes if proxy.client_keepalive else KeepAlive(),
        bind.mss,
        bind.user_timeout_ms,
        bind.fast_open,
        bind.defer_accept,
    )


def count_sockets(wants: list[Want], inherited: Held) -> int:
    """How many sockets there will be; what is inherited of a wanted address stays open."""
    needed: Counter[Key] = Counter()
    for want in wants:
        needed[want.key] += want.copies
    return sum(max(count, len(inherited.get(key, ()))) for key, count in needed.items())


def open_sockets(wants: list[Want], workers: int, inherited: Held) -> SocketSet:
    """Take over what is inherited, open the rest; raises BindingError and leaves nothing open."""
    held: Held = {}
    fresh: list[OpenSocket] = []
    errors: list[str] = []
    needed: dict[Key, int] = {}
    try:
        for want in wants:  # two lines with one address share its group, as in HAProxy
            needed[want.key] = needed.get(want.key, 0) + want.copies
            sockets = held.setdefault(want.key, list(inherited.get(want.key, ())))
            while len(sockets) < needed[want.key]:
                try:
                    fresh.append(open_socket(want))
                except BindError as error:
                    errors.append(f"Binding {want.place}: {error}")
                    break
                sockets.append(fresh[-1])
        found = _arrange(wants, workers, held, tuple(fresh), errors)
        if errors:
            raise BindingError(tuple(errors))
    except BaseException:
        give_back(fresh)
        raise
    return found


def open_socket(want: Want) -> OpenSocket:
    """One socket of a wanted address; raises BindError."""
    opened = open_listener(want.endpoint, want.options)
    try:
        return OpenSocket(opened, want.endpoint, path_identity(want.endpoint))
    except BaseException:
        give_back((OpenSocket(opened, want.endpoint),))
        raise


def restore_options(wants: list[Want], workers: int, held: Held) -> None:
    """Open sockets get the options of their lines again, after others had been tried on them."""
    _arrange(wants, workers, held, (), [])


def give_back(fresh: Iterable[OpenSocket]) -> None:
    """Undo the opening of sockets that no generation has yet."""
    for item in fresh:
        if item.endpoint.family is SocketFamily.DESCRIPTOR:
            item.socket.detach()  # it was open before, and may be wanted later
        else:
            item.socket.close()
            remove_path(item.endpoint, item.identity)


def _arrange(
    wants: list[Want],
    workers: int,
    held: Held,
    fresh: tuple[OpenSocket, ...],
    errors: list[str],
) -> SocketSet:
    """Number the sockets of clients; surplus ones wrap around to the first workers again.

    Those that were open before get the options of their line now; what the kernel refuses is added
    to `errors`.
    """
    listeners: list[ListeningSocket] = []
    stats: list[socket.socket] = []
    services: list[tuple[int, socket.socket]] = []
    rest = {key: list(sockets) for key, sockets in held.items()}
    opened = {id(item) for item in fresh}  # with their options
    last_of = {want.key: position for position, want in enumerate(wants)}
    for position, want in enumerate(wants):
        available = rest[want.key]
        count = len(available) if last_of[want.key] == position else want.copies
        mine, rest[want.key] = available[:count], available[count:]
        try:
            for item in mine:
                if id(item) not in opened or item.endpoint.family is SocketFamily.DESCRIPTOR:
                    apply_options(item.socket, want.options)
        except BindError as error:
            errors.append(f"Binding {want.place}: {error} [{describe(want.endpoint)}]")
        for place, item in enumerate(mine):
            if want.bind is not None:
                listeners.append(
                    ListeningSocket(
                        index=len(listeners),
                        bind=want.bind,
                        worker=place % workers,
                        socket=item.socket,
                        backlog=want.options.backlog,
                        shared=want.endpoint.family not in INTERNET,
                    )
                )
            elif want.service_frontend is not None:
                services.append((want.service_frontend, item.socket))
            else:
                stats.append(item.socket)
    return SocketSet(tuple(listeners), tuple(stats), tuple(services), held, fresh)


def vanished(inherited: Held, kept: Held) -> list[OpenSocket]:
    """The sockets that the next generation does not take over."""
    kept_sockets = {id(item.socket) for sockets in kept.values() for item in sockets}
    return [
        item
        for sockets in inherited.values()
        for item in sockets
        if id(item.socket) not in kept_sockets
    ]
