"""Checks that need all sections: references, duplicates, missing words.

Owns the messages about these. Changes no draft. `build` runs only if there is no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import BindOptions, GlobalDraft, ProxyDraft, ProxyKind, ResolversDraft
from proxy.config.http_drafts import UserListDraft
from proxy.config.lines.http import warning_text
from proxy.config.lines.process.user_list import check_user_list
from proxy.config.lines.state_files import loads_globally
from proxy.config.linking.check_rules import check_names
from proxy.config.linking.checks_http import (
    check_direct,
    check_section,
    shown_section,
)
from proxy.config.linking.directory import DraftDirectory
from proxy.config.linking.log import check_log_format
from proxy.config.linking.rules.conditions import SectionIndex
from proxy.config.linking.rules.connection_rules import ConnectionRuleLinker
from proxy.config.linking.rules.reach import check_lists
from proxy.config.linking.rules.shared_variables import check_shared_variables
from proxy.config.linking.rules.stick_tables import check_tables
from proxy.config.linking.server import check_spare_slots
from proxy.config.linking.tls import TlsTable
from proxy.config.linking.tracking import check_tracking
from proxy.config.model.checks import (
    OPTION_NAMES,
    ExternalCheck,
    HttpCheck,
    ProgramRights,
    TcpCheck,
)
from proxy.config.model.settings import InitAddr, Origin
from proxy.config.server_drafts import ServerDraft
from proxy.config.text.messages import Messages
from proxy.config.text.names import is_service_name
from proxy.config.text.suggest import NameIndex
from shm.shape import SLOTS_MAX, SOCKETS_MAX

DEFAULT_RESOLVERS = "default"  # made from resolv.conf if a server refers to it and no section is it


def _check_rules(draft: ProxyDraft, messages: Messages) -> None:
    """Rules of health checks that no option puts in force: HAProxy warns of those behind it."""
    for word, rules, option, kind in (
        ("tcp-check", draft.tcp_check, "tcp-check", TcpCheck),
        ("http-check", draft.http_check, "httpchk", HttpCheck),
    ):
        used = rules.from_defaults or isinstance(draft.check_option, kind)
        if draft.kind.serves and rules.lines and not used:
            why = f"without 'option {option}'"
            if draft.check_option is not None:
                last = OPTION_NAMES[type(draft.check_option)]
                why = f"beside 'option {last}', the last option of its checks"
            tell = messages.warning if rules.option is draft.check_option else messages.notice
            tell(f"{draft.title} uses {word} rules {why}, so the rules are ignored", rules.origin)
    if not draft.kind.serves or isinstance(draft.check_option, HttpCheck):
        return
    for word in dict.fromkeys(draft.own_http_words):
        tell = messages.warning if draft.check_option is not None else messages.notice
        tell(f"'http-check {word}' of {draft.title} needs 'option httpchk', so it is ignored")


def _check_external(draft: ProxyDraft, rights: ProgramRights, messages: Messages) -> None:
    """What programs that are checks need; words about them that no option puts in force."""
    words, origin = draft.external_check, draft.external_origin
    option = f"{draft.title} : 'option external-check'"
    if not isinstance(draft.check_option, ExternalCheck):
        for name in ("command", "path"):
            if getattr(words, name):
                text = f"'external-check {name}' will be ignored for {draft.title}"
                messages.warning(f"{text} (requires 'option external-check').", origin)
        return
    if not rights.allowed:
        messages.alert(
            f"{option} unable to find required 'global.external-check': write 'external-check' "
            "in the global section, if programs may be run",
            origin,
        )
    if not words.command:
        messages.alert(
            f"{option} unable to find required 'external-check command': write which program "
            "checks the servers",
            origin,
        )
    elif not words.command.startswith("/") and not words.path:
        messages.alert(
            f"{draft.title} : 'external-check command' does not have a leading '/' and "
            "'external-check path' is not set: write one of the two",
            origin,
        )
    if not rights.fork:
        messages.warning(
            f"{option} will likely fail, because 'insecure-fork-wanted' is not enabled in the "
            "global section: only root can run programs without it",
            origin,
        )


class References:
    """The targets of references by name; of several sections with one name the first counts."""

    def __init__(self, proxies: Sequence[ProxyDraft], resolvers: Sequence[ResolversDraft]) -> None:
        self.backends: dict[str, ProxyDraft] = {}
        for draft in proxies:
            if draft.kind.serves:
                self.backends.setdefault(draft.name, draft)
        self.backend_names = NameIndex(self.backends)
        self.resolvers = {draft.name for draft in resolvers}
        self.resolvers_names = NameIndex(draft.name for draft in resolvers)


def check(
    globals_draft: GlobalDraft,
    resolvers: Sequence[ResolversDraft],
    proxies: Sequence[ProxyDraft],
    messages: Messages,
    *,
    tls: TlsTable,
    user_lists: Mapping[str, UserListDraft],
) -> None:
    """Add a message for each error and each doubtful setting that concerns several sections."""
    _check_names(proxies, messages)
    check_spare_slots(globals_draft.spare_servers, proxies, messages)
    known = References(proxies, resolvers)
    directory = DraftDirectory(proxies, user_lists)
    check_shared_variables(globals_draft.shared_settings, directory, messages)
    for user_list in user_lists.values():
        check_user_list(user_list, messages)
    for section in resolvers:
        if not section.nameservers:
            messages.warning(f"resolvers '{section.name}' has no nameserver", section.origin)
    for draft in proxies:
        if draft.disabled:
            continue
        check_lists(draft, directory.lists, messages)
        _check_external(draft, globals_draft.programs, messages)
        if draft.mode == "http":
            _check_http(draft, known, directory, messages)
            continue
        _check_tcp(draft, known, directory, messages)
        check_log_format(draft, directory, messages, global_logs=bool(globals_draft.logs))
        if loads_globally(draft) and globals_draft.server_state_file is None and draft.kind.serves:
            messages.warning(
                f"{draft.title} is to load the state of its servers from the file of the global "
                "section's 'server-state-file', which is not set"
            )
        _check_rules(draft, messages)
        if draft.kind.serves:
            check_names(draft, directory, messages)
        line = None
        for server in draft.servers:
            if server.origin is None or server.origin != line:  # all of a template are alike
                _check_server(draft, server, known, messages)
            line = server.origin
            _check_cookie(draft, server, messages)
            tls.check(draft, server, messages)
    tls.check_globals(messages)
    check_tracking(proxies, messages)
    check_tables(proxies, messages)
    _check_limits(proxies, messages)


def _check_cookie(draft: ProxyDraft, server: ServerDraft, messages: Messages) -> None:
    """Warn of a server that no RDP cookie can name: its port is not known."""
    if draft.rules.cookies and server.port_relative:
        messages.warning(
            f"proxy '{draft.name}' : RDP cookie persistence will not work for server "
            f"'{server.name}' because it lacks an explicit port number."
        )


def _check_names(proxies: Sequence[ProxyDraft], messages: Messages) -> None:
    """Check for two frontends, or two backends, with one name, and for numbers given twice."""
    seen: dict[tuple[str, str], ProxyDraft] = {}
    numbers: dict[int, ProxyDraft] = {}
    for draft in proxies:
        sides = [side for side, has in zip("fb", _sides(draft), strict=True) if has]
        for known in dict.fromkeys(
            seen[side, draft.name].title for side in sides if (side, draft.name) in seen
        ):
            messages.alert(f"{draft.title} has the same name as {known}", draft.origin)
        seen.update({(side, draft.name): draft for side in sides})
        if draft.id is not None:
            known_number = numbers.setdefault(draft.id, draft)
            if known_number is not draft:
                text = f"id {draft.id} of {draft.title} is taken by {known_number.title}"
                messages.alert(text, draft.id_origin)
        _check_server_names(draft, messages)


def _sides(draft: ProxyDraft) -> tuple[bool, bool]:
    return draft.kind.accepts, draft.kind.serves


def _check_server_names(draft: ProxyDraft, messages: Messages) -> None:
    names: dict[str, ServerDraft] = {}
    numbers: dict[int, ServerDraft] = {}
    for server in draft.servers:
        known = names.setdefault(server.name, server)
        if known is not server:
            where = f"line {known.origin.line}"
            text = f"{draft.title}, another server named '{server.name}' is defined at {where}"
            messages.alert(text, server.origin)
        number = server.options.id
        if number is not None and numbers.setdefault(number, server) is not server:
            text = f"id {number} of server '{server.name}' is taken in {draft.title}"
            messages.alert(text, server.origin)


def _check_http(
    draft: ProxyDraft, known: References, directory: SectionIndex, messages: Messages
) -> None:
    """A section in mode http may answer itself, or hold a table that nobody is led to."""
    if draft.kind is ProxyKind.BACKEND and draft.table is not None and not draft.servers:
        return  # which clients would be led there, their own section says
    goes_on = draft.default_backend is not None or draft.switched_backend is not None
    shown = shown_section(draft, known.backends)
    two_pages = shown is not draft and draft.http.stats.enabled
    if (
        shown is not None
        and not draft.servers
        and (shown is not draft) == goes_on
        and (not two_pages)
    ):
        if draft.kind.accepts:
            _check_binds(draft, messages)
            _check_timeouts(draft, messages)
            check_direct(draft, messages)
            check_section(draft, shown, directory, messages)
        return
    advice = (
        "write 'mode tcp' (a section in mode http answers itself: 'stats', 'monitor-uri', "
        "'redirect', 'http-request return' and the like)"
    )
    if draft.http.rules or draft.http.stats.enabled:
        advice = "keep HAProxy for what reads or answers HTTP and forwards the rest"
    messages.alert(
        f"mode http of {draft.title} is not supported: Millrace forwards TCP, {advice}",
        draft.mode_origin or draft.origin,
    )


def _check_binds(draft: ProxyDraft, messages: Messages) -> None:
    if draft.kind.accepts and not draft.has_bind_line:
        messages.warning(
            f"{draft.title} has no 'bind' directive. Please declare it as a backend if this was "
            "intended."
        )
    numbers: dict[int, BindOptions] = {}
    for draft_bind in draft.binds:
        options = draft_bind.options  # one object for all addresses of a line
        if options.id is not None and numbers.setdefault(options.id, options) is not options:
            messages.alert(
                f"id {options.id} of 'bind' is taken in {draft.title}", draft_bind.origin
            )


def _check_tcp(
    draft: ProxyDraft, known: References, directory: SectionIndex, messages: Messages
) -> None:
    for word in draft.http_words:
        text = warning_text(word, draft)
        if text:
            messages.warning(text, word.origin)
    _check_binds(draft, messages)
    for rule, name, origin in (
        ("use_backend", draft.switched_backend, draft.switched_backend_origin),
        *(
            ("use_backend", rule.target, rule.line.origin)
            for rule in draft.rules.backends
            if not rule.form
        ),
        ("default_backend", draft.default_backend, draft.default_backend_origin),
    ):
        if name is not None and draft.kind.accepts:
            _check_backend(draft, known, directory, messages, (rule, name, origin))
    ConnectionRuleLinker(draft, directory, messages).check()
    _check_timeouts(draft, messages)


def _check_timeouts(draft: ProxyDraft, messages: Messages) -> None:
    wanted = ["client"] if draft.kind.accepts else []
    if draft.kind.serves and draft.servers:
        wanted += ["connect", "server"]
    if any(not draft.timeouts.get(f"{name}_ms") for name in wanted):
        messages.warning(
            f"missing timeouts for {draft.title}.\n"
            "   | While not properly invalid, you will certainly encounter various problems\n"
            "   | with such a configuration. To fix this, please ensure that all following\n"
            "   | timeouts are set to a non-zero value: 'client', 'connect', 'server'."
        )


def _check_backend(
    draft: ProxyDraft,
    known: References,
    directory: SectionIndex,
    messages: Messages,
    rule: tuple[str, str, Origin | None],
) -> None:
    """Check a reference to a backend; `rule` is its word, the name, and its origin."""
    word, name, origin = rule
    found = known.backends.get(name)
    if found is None:
        suggestion = known.backend_names.hint(name)
        messages.alert(f"unable to find the {word} '{name}' of {draft.title}{suggestion}", origin)
    elif found is draft:
        messages.alert(f"{word} of {draft.title} is itself", origin)
    elif shown_section(draft, known.backends) is found:
        check_direct(draft, messages)
        check_section(draft, found, directory, messages)
    elif found.mode != draft.mode and not found.disabled:
        messages.alert(f"{word} '{name}' of {draft.title} is not in mode tcp", origin)
    elif draft.servers and name in (draft.switched_backend, draft.default_backend):
        messages.warning(
            f"in {draft.title}, the '{word}' rule always has precedence over the servers, "
            "which will never be used"
        )


def _check_server(
    draft: ProxyDraft, server: ServerDraft, known: References, messages: Messages
) -> None:
    options = server.options
    described = f"{draft.title} : server '{server.name}'"
    if options.resolvers is not None and options.resolvers not in known.resolvers:
        messages.alert(
            f"proxy '{draft.name}', server '{server.name}': unable to find required resolvers "
            f"'{options.resolvers}'"
            f"{known.resolvers_names.hint(options.resolvers)}",
            server.origin,
        )
    no_port = (
        server.port_relative and options.checking.own_port is None and not server.address.local
    )
    if server.address.number is None and is_service_name(server.address.host):
        no_port = False  # the record has it
        if options.resolvers is None and not _has_last_resort(options.init_addr or ()):
            text = f"no method found to resolve SRV name '{server.address.host}'"
            messages.alert(f"{described} : {text}: add 'resolvers <name>'", server.origin)
    if options.check and no_port and not (draft.check_rules and draft.check_rules.names_ports):
        text = "neither service port nor check port"
        if isinstance(draft.check_rules, (TcpCheck, HttpCheck)):
            text += ", and not each connection of its check has one: write 'connect port <n>'"
        messages.alert(f"{described} has {text}", server.origin)
    if options.agent_check and options.asking.port == 0:
        text = f"{described} has no agent port: write 'agent-port <port>' beside 'agent-check'"
        messages.alert(text, server.origin)
    if options.cookie:
        messages.warning(f"{described} : ignoring cookie as HTTP mode is disabled", server.origin)


def _has_last_resort(methods: tuple[str, ...]) -> bool:
    """Whether `init-addr` always succeeds: `none` or an address is among its methods."""
    return not set(methods) <= {InitAddr.LAST, InitAddr.LIBC}


def _check_limits(proxies: Sequence[ProxyDraft], messages: Messages) -> None:
    servers = sum(len(draft.servers) for draft in proxies)
    binds = sum(len(draft.binds) for draft in proxies)
    if servers > SLOTS_MAX:
        messages.alert(f"{servers} servers are too many (at most {SLOTS_MAX})")
    if binds > SOCKETS_MAX:
        messages.alert(f"{binds} bind addresses are too many (at most {SOCKETS_MAX})")
