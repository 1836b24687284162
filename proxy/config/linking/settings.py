"""Drafts to settings: indices, numbers, references resolved to positions.

Owns the order of indices (frontends, backends, slots, bind addresses, nameservers, resolutions).
Needs drafts without errors (checks.py). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from proxy.config.drafts import (
    BindDraft,
    BindOptions,
    GlobalDraft,
    ProxyDraft,
    ResolversDraft,
)
from proxy.config.http_drafts import UserListDraft
from proxy.config.lines.state_files import (
    global_state_file,
    loads_globally,
    state_base,
    state_file_of,
)
from proxy.config.linking.check_rules import CheckRuleLinker
from proxy.config.linking.checks import References
from proxy.config.linking.checks_http import answers_itself, shown_section
from proxy.config.linking.directory import SettingsDirectory
from proxy.config.linking.http import SectionLinker
from proxy.config.linking.identifiers import FIRST_BIND, FIRST_PROXY, number_items
from proxy.config.linking.log import build_access_log, global_targets
from proxy.config.linking.resolution_table import ResolutionTable
from proxy.config.linking.rules.connection_rules import ConnectionRuleLinker
from proxy.config.linking.rules.numbering import RuleNumbers
from proxy.config.linking.rules.shared_variables import shared_variables
from proxy.config.linking.rules.stick_tables import shapes_of
from proxy.config.linking.server import ServerBuilder, spare_slots
from proxy.config.linking.tls import TlsTable
from proxy.config.linking.tracking import link_tracking
from proxy.config.model.settings import Bind, Global, Proxy, Server, Settings, Timeouts
from proxy.config.text.messages import ConfigError, Messages, Severity
from resolverd.config import Family, Followed, Holds, ResolverdSettings, ResolversSection


def build(
    globals_draft: GlobalDraft,
    resolvers: Sequence[ResolversDraft],
    proxies: Sequence[ProxyDraft],
    families: tuple[Family, ...],
    *,
    tls: TlsTable,
    user_lists: Mapping[str, UserListDraft],
) -> Settings:
    """The settings; `families` are those that DNS may be asked for."""
    table = ResolutionTable(families)
    built = link_tracking(_Builder(globals_draft, proxies, table, tls).proxies())
    tables = shapes_of(proxies)
    directory = SettingsDirectory(built, user_lists, tables)
    built = _link_rules(built, proxies, globals_draft, directory)
    shared = shared_variables(
        globals_draft.shared_settings, directory, globals_draft.variable_bytes
    )
    return Settings(
        globals=_build_globals(globals_draft),
        proxies=built,
        resolverd=ResolverdSettings(
            sections=_build_sections(resolvers),
            resolutions=table.settings(),
            addressed=table.addressed(),
            families=families,
        ),
        tls_contexts=tls.contexts,
        lists=directory.lists.every,
        references=directory.lists.references(),
        variables=directory.variables.levels,
        shared=shared,
        tables=tables,
        named=tuple(sorted(directory.named)),
    )


def _build_globals(draft: GlobalDraft) -> Global:
    values = {name: getattr(draft, name) for name in Global.__struct_fields__}
    values["stats_sockets"] = tuple(draft.stats_sockets)
    values["logs"] = global_targets(draft)
    values["server_state_file"] = global_state_file(draft)
    values["server_state_base"] = state_base(draft)
    return Global(**values)


def _build_sections(drafts: Sequence[ResolversDraft]) -> tuple[ResolversSection, ...]:
    sections: list[ResolversSection] = []
    index = 0
    for draft in drafts:
        fixed = [each for each, _ in draft.nameservers if each.name not in draft.followed]
        taken = [each for each, _ in draft.nameservers if each.name in draft.followed]
        nameservers = [
            msgspec.structs.replace(nameserver, index=index + offset)
            for offset, nameserver in enumerate([*fixed, *taken])
        ]
        index += len(fixed)
        followed: Followed | None = None
        if draft.resolv_conf is not None:
            followed = Followed(
                draft.resolv_conf_path,
                index,
                search=draft.search is None,
                ndots=draft.ndots is None,
            )
            index += followed.rows
        sections.append(
            ResolversSection(
                name=draft.name,
                nameservers=tuple(nameservers),
                accepted_payload_size=draft.accepted_payload_size,
                resolve_retries=draft.resolve_retries,
                timeout_resolve_ms=draft.timeout_resolve_ms,
                ttl_period=draft.ttl_period,
                timeout_retry_ms=draft.timeout_retry_ms,
                holds=Holds(**draft.holds),
                search=draft.domains,
                ndots=draft.dots_wanted,
                followed=followed,
            )
        )
    return tuple(sections)


class _Builder:
    """The counters of one build."""

    def __init__(
        self,
        globals_draft: GlobalDraft,
        drafts: Sequence[ProxyDraft],
        table: ResolutionTable,
        tls: TlsTable,
    ) -> None:
        self._globals = globals_draft
        self._splice = globals_draft.splice
        self._drafts = drafts
        spare = spare_slots(globals_draft.spare_servers, drafts)
        self._servers = ServerBuilder(table, tls, spare)
        self._binds = 0
        self._frontends = 0
        self._backend_indices = _number_backends(drafts)
        self._backends = References(drafts, ()).backends
        self._positions = {  # of the first section that serves, by name
            draft.name: position
            for position, draft in reversed(list(enumerate(drafts)))
            if draft.kind.serves
        }

    def proxies(self) -> tuple[Proxy, ...]:
        numbers = number_items([draft.id for draft in self._drafts], FIRST_PROXY)
        return tuple(
            self._proxy(position, draft, number)
            for position, (draft, number) in enumerate(zip(self._drafts, numbers, strict=True))
        )

    def _proxy(self, position: int, draft: ProxyDraft, number: int) -> Proxy:
        frontend_index: int | None = None
        if draft.kind.accepts and not draft.disabled:
            frontend_index = self._frontends
            self._frontends += 1
        backend_index = self._backend_indices.get(position)
        servers: tuple[Server, ...] = ()
        state_file: str | None = None
        first_slot = self._servers.next_slot
        if backend_index is not None:
            servers = self._servers.build(draft, backend_index)
            state_file = state_file_of(draft, self._globals)
        shown = shown_section(draft, self._backends)
        return Proxy(
            name=draft.name,
            id=number,
            id_given=draft.id is not None,
            kind=draft.kind.value,
            origin=draft.origin,
            frontend_index=frontend_index,
            backend_index=backend_index,
            binds=self._build_binds(draft, frontend_index),
            servers=servers,
            server_templates=tuple((n, t.words) for n, t in draft.server_templates.items()),
            first_slot=first_slot,
            spare_of=draft.spare_of,
            spare_slots=0 if backend_index is None else self._servers.spare(draft),
            default_backend=None if shown else self._default_backend(draft, backend_index),
            switched=draft.switched_backend is not None,
            behind_switch=self._behind_switch(draft, backend_index),
            balance=draft.balance,
            random_draws=draft.random_draws,
            hash_consistent=draft.hash_consistent,
            hash_avalanche=draft.hash_avalanche,
            hash_function=draft.hash_function,
            persist=draft.persist,
            hash_balance_factor=draft.hash_balance_factor,
            timeouts=Timeouts(**{name: value or None for name, value in draft.timeouts.items()}),
            maxconn=draft.maxconn,
            session_rate=draft.session_rate,
            fullconn=draft.fullconn,
            backlog=draft.backlog or None,
            retries=draft.retries if draft.retry_connects else 0,
            redispatch=draft.redispatch,
            splice=draft.splice and self._splice,
            allbackups=draft.allbackups,
            client_keepalive=draft.client_keepalive,
            server_keepalive=draft.server_keepalive,
            client_probes=draft.client_probes,
            server_probes=draft.server_probes,
            source=draft.source,
            abortonclose=draft.abortonclose,
            nolinger=draft.nolinger,
            disabled=draft.disabled,
            description=draft.description,
            server_state_file=state_file,
            server_state_global=bool(state_file) and loads_globally(draft),
            check_rules=draft.check_rules if draft.kind.serves else None,
            log_health_checks=draft.log_health_checks,
        )

    def _build_binds(self, draft: ProxyDraft, frontend_index: int | None) -> tuple[Bind, ...]:
        if frontend_index is None:
            return ()
        numbers = number_items([bind.options.id for bind in _first_keeps_id(draft)], FIRST_BIND)
        built = tuple(
            Bind(
                index=self._binds + offset,
                frontend_index=frontend_index,
                endpoint=bind.endpoint,
                origin=bind.origin,
                name=bind.options.name,
                id=number,
                backlog=bind.options.backlog or None,
                maxconn=bind.options.maxconn,
                v6only=bind.options.v6only,
                v4v6=bind.options.v4v6,
                unix_mode=bind.options.unix_mode,
                unix_user=bind.options.unix_user,
                unix_group=bind.options.unix_group,
                interface=bind.options.interface,
                mss=bind.options.mss,
                user_timeout_ms=bind.options.user_timeout_ms,
                fast_open=bind.options.fast_open,
                defer_accept=bind.options.defer_accept,
                transparent=bind.options.transparent,
                accept_proxy=bind.options.accept_proxy or draft.rules.all_headed,
            )
            for offset, (bind, number) in enumerate(zip(draft.binds, numbers, strict=True))
        )
        self._binds += len(built)
        return built

    def _default_backend(self, draft: ProxyDraft, own: int | None) -> int | None:
        """The backend of clients; None without one, or if it is disabled."""
        if not draft.kind.accepts or draft.disabled:
            return None
        name = draft.switched_backend or draft.default_backend
        if name is None:
            return own
        return self._backend_indices.get(self._positions[name])

    def _behind_switch(self, draft: ProxyDraft, own: int | None) -> int | None:
        """The backend of clients while that of a first `use_backend` line is unpublished."""
        if draft.switched_backend is None or not draft.kind.accepts or draft.disabled:
            return None
        if draft.default_backend is None:
            return own
        return self._backend_indices.get(self._positions[draft.default_backend])


def _number_backends(drafts: Sequence[ProxyDraft]) -> dict[int, int]:
    """Position in the file -> backend index, for sections that serve and are enabled."""
    serving = [
        position
        for position, draft in enumerate(drafts)
        if draft.kind.serves and not draft.disabled and not answers_itself(draft)
    ]
    return {position: index for index, position in enumerate(serving)}


def _first_keeps_id(draft: ProxyDraft) -> list[BindDraft]:
    """The binds, with the `id` of a line only at its first address."""
    result: list[BindDraft] = []
    before: BindOptions | None = None  # the addresses of a line are neighbours
    for bind in draft.binds:
        again = bind.options is before
        options = msgspec.structs.replace(bind.options, id=None) if again else bind.options
        result.append(msgspec.structs.replace(bind, options=options))
        before = bind.options
    return result


def _link_rules(
    built: tuple[Proxy, ...],
    drafts: Sequence[ProxyDraft],
    globals_draft: GlobalDraft,
    directory: SettingsDirectory,
) -> tuple[Proxy, ...]:
    """The sections, with rules of checks, and what those answer that forward nothing."""
    backends = References(drafts, ()).backends
    found, numbers = [], RuleNumbers()
    for proxy, draft in zip(built, drafts, strict=True):
        for expressions in draft.http.expressions.values():  # also those that no condition has
            for each in expressions:
                directory.lists.numbers(each)
        shown = shown_section(draft, backends) if draft.kind.accepts else None
        if shown is not None:
            messages = Messages()
            linker = SectionLinker(draft, shown, directory, messages)
            section = linker.section(globals_draft.node, globals_draft.description or "")
            if messages.failed:  # a file has changed meanwhile; no rule is to be left out
                alerts = (each for each in messages.all() if each.severity is Severity.ALERT)
                raise ConfigError(next(alerts).text)
            found.append(msgspec.structs.replace(proxy, http=section))
        else:
            checks = CheckRuleLinker(directory, proxy.name, proxy.id).rules(proxy.check_rules)
            rules = ConnectionRuleLinker(draft, directory, Messages()).rules()
            rules = numbers.numbered(rules)
            log = build_access_log(draft, globals_draft, directory)
            changes = {"check_rules": checks, "rules": rules, "access_log": log}
            found.append(msgspec.structs.replace(proxy, **changes))
    return tuple(found)
