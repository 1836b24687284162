"""From a command line to settings and first addresses: all that a start or a reload must know.

May block and may take long: a reload runs it in a helper child and gets the result as bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from proxy.arguments import Arguments
from proxy.capacity import listening_sockets, surplus_bind
from proxy.config.lines.process.peers import LOCAL_PEER, LOCAL_PEER_ORDERED
from proxy.config.loader import load, read_master_sockets
from proxy.config.model.settings import MAXCONN_NONE, Settings, StatsSocket
from proxy.config.outline.kept import KeptConfiguration
from proxy.config.text.messages import Message, Severity
from proxy.server_table import Configured, ServerTable
from proxy.supervisor.carry import known_addresses, named_servers, plan_carry
from proxy.supervisor.fill import shape_of
from proxy.supervisor.initial import InitialAddress, decide, names_wanted
from proxy.supervisor.limits import LIBC_LIMIT_MS
from proxy.supervisor.names import resolve_names
from proxy.supervisor.restore import Restored, restore
from proxy.supervisor.slices import at_once
from proxy.supervisor.state_files import read_state
from proxy.supervisor.workers import worker_count
from resolverd.config import Family
from resolverd.state_file.format import StateRow
from shm.segment import Segment
from shm.shape import SOCKETS_MAX

NOTHING_LEFT: Mapping[tuple[str, str], StateRow] = MappingProxyType({})
NO_MASTER = "a master CLI socket was defined, but master-worker mode (-W) is not enabled."
FEWER = "Please write fewer of them, or fewer workers (nbthread): sockets are addresses x workers."


class Prepared(msgspec.Struct, frozen=True):
    """What the files say now: settings unless there was an ALERT, and everything to tell."""

    settings: Settings | None
    messages: tuple[Message, ...]
    initial: tuple[InitialAddress, ...] = ()
    restored: tuple[Restored, ...] = ()  # of servers that state files know and memory does not
    environment: tuple[bytes, ...] = ()  # NAME=value, behind the last line of the files
    kept: KeptConfiguration = KeptConfiguration()  # the lines of the files


class Previous(msgspec.Struct, frozen=True):
    """What a reload starts from."""

    configured: Configured
    segment: Segment


def prepare(
    arguments: Arguments,
    environ: Mapping[str, str],
    previous: Previous | None = None,
    left: Mapping[tuple[str, str], StateRow] = NOTHING_LEFT,
) -> Prepared:
    """Load, check, and resolve what must be resolved before the first client comes.

    `left` is what a former program has left of servers whose records cannot be read: it counts as
    a state file does, before all of them, and its addresses before every `init-addr`.
    """
    peer = arguments.local_peer or socket.gethostname()
    environment = {LOCAL_PEER: peer, **environ}
    if arguments.local_peer is not None:
        environment[LOCAL_PEER_ORDERED] = peer
    only_ipv4 = (Family.IPV4,) if arguments.ipv4_only else None
    outcome = load(
        arguments.files,
        environ=environment,
        resolve_host=_resolve_ipv4_host if arguments.ipv4_only else _resolve_host,
        accept_families=only_ipv4,
        server_verify=arguments.server_verify,
    )
    if outcome.settings is None:
        return Prepared(None, outcome.messages)
    settings = _with_overrides(outcome.settings, arguments)
    configured, workers = Configured.of(settings), worker_count(settings)
    servers = configured.servers
    try:
        shape_of(configured, workers, listening_sockets(settings, workers)).check()
    except ValueError as error:
        surplus = surplus_bind(settings, workers, SOCKETS_MAX)
        told = Message(Severity.ALERT, str(error))
        if surplus is not None:
            told = Message(Severity.ALERT, f"{error}. {FEWER}", surplus.origin)
        return Prepared(None, (*outcome.messages, told))
    known = remembered = frozenset[int]()
    if previous is not None:
        old, segment = previous.configured, previous.segment
        pairs = at_once(plan_carry(old, configured)).counted.servers
        known = at_once(known_addresses(old.servers, segment, servers, pairs))
        # memory knows more of them than any file, and that some were deleted: these begin anew
        remembered = frozenset(pairs.new) | _deleted(old.servers, servers)
    rows, notes = read_state(servers, remembered)
    for name, slot in named_servers(servers) if left and previous is None else ():
        if name in left:
            rows[slot] = left[name]
    restored = restore(servers, settings.resolverd, rows, remembered)
    last = {each.slot: each for each in restored}
    resolved = resolve_names(
        names_wanted(servers, known, last, last_first=bool(left)), settings.resolverd.families
    )
    found = decide(
        servers,
        resolved,
        known,
        last,
        ignore_failures=arguments.ignore_unresolved,
        last_first=bool(left),
    )
    messages = outcome.messages + notes + found.messages
    if any(message.severity is Severity.ALERT for message in messages):
        return Prepared(None, messages)
    said = (outcome.environment, outcome.kept)
    return Prepared(settings, messages, found.addresses, restored, *said)


def _deleted(old: ServerTable, new: ServerTable) -> frozenset[int]:
    """The slots of those that were deleted at run time, and that the files have still."""
    gone = {(old.backends[server.backend_index].name, server.name) for server in old.deleted()}
    if not gone:
        return frozenset()
    return frozenset(slot for name, slot in named_servers(new) if name in gone)


def with_master_sockets(
    arguments: Arguments, prepared: Prepared, environ: Mapping[str, str]
) -> tuple[Prepared, tuple[StatsSocket, ...]]:
    """The sockets of the master CLI, and what there is to tell with them; at a start only."""
    if not arguments.master_sockets:
        return prepared, ()
    settings = prepared.settings
    works = settings is None or settings.globals.master_worker or arguments.master_worker
    if works:
        sockets, told = read_master_sockets(
            arguments.master_sockets, environ=environ, resolve_host=_resolve_host
        )
    else:
        sockets, told = (), (Message(Severity.WARNING, NO_MASTER),)
    if any(message.severity is Severity.ALERT for message in told):
        settings = None
    messages = (*prepared.messages, *told)
    return msgspec.structs.replace(prepared, settings=settings, messages=messages), sockets


def _resolve_host(name: str, family: Family) -> str | None:
    """A host name of a `log`, `bind` or `nameserver` line, with a deadline."""
    families = (Family.IPV4, Family.IPV6) if family is Family.NONE else (family,)
    return resolve_names([name], families, LIBC_LIMIT_MS).get(name)


def _resolve_ipv4_host(name: str, family: Family) -> str | None:
    """The same with -4; what asks for IPv6 alone finds nothing."""
    return None if family is Family.IPV6 else _resolve_host(name, Family.IPV4)


def _with_overrides(settings: Settings, arguments: Arguments) -> Settings:
    """-n and -dS count more than the file, -N where a frontend says nothing."""
    replace = msgspec.structs.replace
    if not arguments.splice:
        unspliced = tuple(replace(proxy, splice=False) for proxy in settings.proxies)
        settings = replace(settings, proxies=unspliced)
    if arguments.maxconn:
        settings = replace(settings, globals=replace(settings.globals, maxconn=arguments.maxconn))
    if arguments.proxy_maxconn:
        limit = arguments.proxy_maxconn
        proxies = tuple(
            replace(proxy, maxconn=limit)
            if proxy.frontend_index is not None and proxy.maxconn == MAXCONN_NONE
            else proxy
            for proxy in settings.proxies
        )
        settings = replace(settings, proxies=proxies)
    return settings
