"""Server drafts to settings: slots, numbers, and the row of each server's name.

Owns the slot counter. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.config.drafts import GlobalDraft, ProxyDraft, ProxyKind
from proxy.config.linking.identifiers import FIRST_SERVER, number_items
from proxy.config.linking.resolution_table import ResolutionTable
from proxy.config.linking.tls import TlsTable
from proxy.config.linking.tracking import full_name
from proxy.config.model.settings import (
    SPARE_SERVERS_LEAST,
    Agent,
    Check,
    Connecting,
    Endpoint,
    InitAddr,
    ProxyHeader,
    Queueing,
    Server,
    has_fixed_weights,
)
from proxy.config.model.tls import CheckTls
from proxy.config.server_drafts import ServerDraft, ServerOptions
from proxy.config.text.addresses import WrittenAddress
from proxy.config.text.messages import Messages
from proxy.config.text.names import is_service_name, normalize_host_name
from resolverd.config import NO_ROW, Family, ResolvedServer
from shm.shape import SLOTS_MAX

replace = msgspec.structs.replace
_INIT_ADDR = (InitAddr.LAST, InitAddr.LIBC)  # S5


def spare_slots(wanted: int | None, drafts: Sequence[ProxyDraft]) -> int:
    """How many servers each backend with a dynamic algorithm may get at run time."""
    servers, dynamic = _count(drafts)
    if not dynamic:
        return 0
    if wanted is None:
        wanted = max(SPARE_SERVERS_LEAST, servers // 4) // dynamic
    return min(wanted, max(0, SLOTS_MAX - servers) // dynamic)


def check_spare_slots(wanted: int | None, drafts: Sequence[ProxyDraft], messages: Messages) -> None:
    """Add an error for more spare servers than there is room for."""
    if wanted is not None and spare_slots(wanted, drafts) < min(wanted, _count(drafts)[1] * wanted):
        servers, dynamic = _count(drafts)
        messages.alert(
            f"'spare-servers {wanted}' for each of {dynamic} backends: with {servers} servers "
            f"these would be over {SLOTS_MAX}"
        )


def _count(drafts: Sequence[ProxyDraft]) -> tuple[int, int]:
    """All servers, and the backends that may get more."""
    serving = [draft for draft in drafts if draft.kind.serves and not draft.disabled]
    return sum(len(draft.servers) for draft in serving), sum(map(_is_dynamic, serving))


def _is_dynamic(draft: ProxyDraft) -> bool:
    return not has_fixed_weights(draft.balance, hash_consistent=draft.hash_consistent)


class ServerBuilder:
    """Assigns slots to servers, backend after backend."""

    def __init__(self, table: ResolutionTable, tls: TlsTable, spare: int = 0) -> None:
        """Servers with a resolution are added to `table`, contexts of checks to `tls`.

        `spare`: how many slots are kept for servers that a backend gets at run time.
        """
        self._table = table
        self._tls = tls
        self._spare = spare
        self._slots = 0

    def build(self, draft: ProxyDraft, backend_index: int) -> tuple[Server, ...]:
        """The servers of one backend; their slots are neighbours."""
        numbers = number_items([server.options.id for server in draft.servers], FIRST_SERVER)
        built: list[Server] = []
        for server, number in zip(draft.servers, numbers, strict=True):
            built.append(self._build_one(draft, server, backend_index, number))
            self._slots += 1
        self._slots += self.spare(draft)
        return tuple(built)

    @property
    def next_slot(self) -> int:
        """The first slot of the backend that is built next."""
        return self._slots

    def spare(self, draft: ProxyDraft) -> int:
        """How many spare slots follow those of a backend's servers."""
        return self._spare if _is_dynamic(draft) else 0

    def _build_one(
        self, draft: ProxyDraft, server: ServerDraft, backend_index: int, number: int
    ) -> Server:
        options = server.options
        address = server.address
        named = address.number is None
        service = named and is_service_name(address.host)
        return Server(
            slot=self._slots,
            backend_index=backend_index,
            id=number,
            id_given=options.id is not None,
            name=server.name,
            host=_host_of(address),
            local=Endpoint(address.local, address.host) if address.local else None,
            port=server.port,
            origin=server.origin,
            address=address.number,
            port_relative=server.port_relative,
            fqdn=normalize_host_name(address.host) if named and not service else None,
            connecting=_connecting(options),
            queueing=_queueing(options.queueing),
            balancing=options.balancing,
            check=self._check(draft, server),
            agent=_agent(server.options, draft.timeouts.get("check_ms")),
            stopping=options.stopping,
            disabled=options.disabled,
            resolvers=options.resolvers,
            resolution_index=self._resolution(draft, server, backend_index),
            init_addr=_init_addr(options, named),
            srv_record=address.host if service else None,
            init_state=options.init_state,
            track=full_name(draft, options.track) if options.track else None,
        )

    def build_at(
        self, draft: ProxyDraft, server: ServerDraft, slot: int, backend_index: int, number: int
    ) -> Server:
        """One server, in this slot."""
        self._slots = slot
        return self._build_one(draft, server, backend_index, number)

    def _check(self, draft: ProxyDraft, server: ServerDraft) -> Check | None:
        if not server.options.check:
            return None
        tls = self._tls.build(draft, server)
        return _build_check(server.options, draft.timeouts.get("check_ms"), tls)

    def _resolution(self, draft: ProxyDraft, server: ServerDraft, backend_index: int) -> int | None:
        """The row of the server's name (S8), None without `resolvers` or with an address.

        For a server with both an operator may order a name.
        """
        options = server.options
        section = options.resolvers
        if section is None or server.address.local:
            return None
        resolved = ResolvedServer(
            slot=self._slots,
            backend_index=backend_index,
            backend_name=draft.name,
            server_name=server.name,
            port=server.port,
            weight=options.balancing.weight,
            checked=options.check,
            allow_dup_ip=options.allow_dup_ip,
            ignore_weight=options.ignore_weight,
            srv_priority=options.srv_priority,
            rfc_weight=options.rfc_weight,
            all_families=options.all_families,
            networks=options.resolve_networks,
            backend_kind="proxy" if draft.kind is ProxyKind.LISTEN else "backend",
        )
        prefer, search = options.resolve_prefer, options.search
        if server.address.number is not None:
            self._table.add_addressed(section, prefer, resolved, search=search)
            return None
        return self._table.add(section, server.address.host, prefer, resolved, search=search)


def added_server(
    draft: ProxyDraft,
    server: ServerDraft,
    slot: int,
    backend_index: int,
    number: int,
    *,
    families: tuple[Family, ...],
    name_row: int,
) -> Server:
    """A server that is added at run time, without TLS; its name may have the record `name_row`."""
    table = ResolutionTable(families)
    builder = ServerBuilder(table, TlsTable(GlobalDraft(), verify=True))
    built = builder.build_at(draft, server, slot, backend_index, number)
    for resolution in (*table.settings(), *table.addressed()):
        own = replace(resolution, index=name_row if resolution.name else NO_ROW)
        built = replace(built, resolution_index=None, resolution=own)
    return built


def _agent(options: ServerOptions, timeout_check_ms: int | None) -> Agent | None:
    """Its agent, asked at the address and in the interval of its checks without own ones."""
    if not options.agent_check:
        return None
    asking, checking = options.asking, options.checking
    return replace(
        asking,
        address=asking.address or checking.address,
        inter_ms=asking.inter_ms or checking.inter_ms,
        timeout_check_ms=timeout_check_ms or None,
    )


def _host_of(address: WrittenAddress) -> str:
    """The host in the file, a numeric address in canonical form."""
    if address.local is not None:
        return address.text
    return address.host if address.number is None else address.number


def _connecting(options: ServerOptions) -> Connecting:
    header = _proxy_header(options)
    if header is ProxyHeader.NONE:
        return options.connecting
    fields = options.proxy_v2_fields if header is not ProxyHeader.V1 else frozenset()
    return replace(
        options.connecting,
        proxy_header=header,
        header_authority="authority" in fields,
        header_unique_id="unique-id" in fields,
    )


def _queueing(words: Queueing) -> Queueing:
    """The limits as they hold: `minconn` moves the limit below `maxconn`, and is it without one."""
    if words.minconn < words.maxconn or words.minconn == 0:
        return words
    return replace(words, maxconn=words.minconn, minconn=0)


def _init_addr(options: ServerOptions, named: bool) -> tuple[str, ...]:
    if options.init_addr is not None:
        return options.init_addr
    if named and options.resolvers is not None:
        return (*_INIT_ADDR, InitAddr.NONE)
    return _INIT_ADDR


def _proxy_header(options: ServerOptions) -> ProxyHeader:
    if options.send_proxy_v2:
        checked = "crc32c" in options.proxy_v2_fields
        if "ssl" in options.proxy_v2_fields:
            return ProxyHeader.V2_TLS_CHECKSUM if checked else ProxyHeader.V2_TLS
        return ProxyHeader.V2_CHECKSUM if checked else ProxyHeader.V2
    sent = options.send_proxy or options.proxy_v2_fields  # as in HAProxy, of the other version
    return ProxyHeader.V1 if sent else ProxyHeader.NONE


def _check_header(options: ServerOptions) -> ProxyHeader:
    """The server's header; none if the check has an address or port of its own.

    `check-send-proxy` takes precedence.
    """
    header = _proxy_header(options)
    if options.check_send_proxy:
        return ProxyHeader.V1 if header is ProxyHeader.NONE else header
    elsewhere = options.checking.port is not None or options.checking.address is not None
    return ProxyHeader.NONE if elsewhere else header


def _build_check(
    options: ServerOptions, timeout_check_ms: int | None, tls: CheckTls | None
) -> Check:
    return replace(
        options.checking,
        error_limit=options.checking.error_limit if options.observe else 0,
        proxy_header=_check_header(options),
        timeout_check_ms=timeout_check_ms or None,
        tls=tls,
    )
