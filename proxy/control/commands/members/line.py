"""The server of an `add server` order: the words of a line, read as those of the file are.

Owns which words such a server may have. What HAProxy 2.6 refuses is refused in its words; what
only a reload can bring here is refused with the advice to do so.
"""

from __future__ import annotations

import os

import msgspec

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.server.lines import FROM, one_server
from proxy.config.lines.server.options import SERVER_OPTIONS, argument_count
from proxy.config.lines.server.tls import TLS_OPTIONS
from proxy.config.lines.table import Statement, Treatment
from proxy.config.linking.server import added_server
from proxy.config.model.checks import ExternalCheck
from proxy.config.model.settings import Origin, Proxy, Server
from proxy.config.outline.sections import written
from proxy.config.server_drafts import ServerDraft
from proxy.config.text.context import Context, has_ipv6_route
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.suggest import hint
from proxy.control.command import CommandError
from resolverd.config import Family, ResolverdSettings
from shm.states import AdminFlag

ORIGIN = Origin("add server", 0)
REFUSED = frozenset(  # by HAProxy 2.6 as by us; that refuses `resolvers` and `resolve-*`, too
    {
        *("cookie", "init-addr", "log-proto", "max-reuse", "namespace", "no-agent-check"),
        *("no-check", "no-check-send-proxy", "no-check-ssl", "no-ssl", "non-stick", "redir"),
        *("socks4", "ssl-reuse", "stick", "tcp-ut", "guid", "on-removed"),
    }
)
RELOADED = frozenset(  # these take what is made at the start
    {
        *("agent-check", "agent-addr", "agent-inter", "agent-port", "agent-send", "track"),
        *("proto", "alpn", *TLS_OPTIONS),
    }
)
NO_ARGUMENTS = "'server' expects <name> and <addr>[:<port>] as arguments."


def accepted_words() -> list[str]:
    """The options that such a server may have, in the order of the alphabet."""
    taken = (Treatment.WORKS, Treatment.NO_EFFECT)
    known = {name for name, word in SERVER_OPTIONS.items() if word.kind in taken}
    return sorted({FROM, *known} - REFUSED - RELOADED)


class AddedLine(msgspec.Struct, frozen=True):
    """A line that was read."""

    proxy: Proxy
    draft: ServerDraft
    administration: AdminFlag  # at the start
    families: tuple[Family, ...]  # that names are asked for
    words: tuple[str, ...]  # behind its name

    def server(self, slot: int, number: int, change: int, name_row: int) -> Server:
        """The server in this slot, with this id, by this change, and with this row for its name."""
        kind = ProxyKind.LISTEN if self.proxy.kind == "listen" else ProxyKind.BACKEND
        draft = ProxyDraft(self.proxy.name, kind, ORIGIN)
        if self.proxy.timeouts.check_ms is not None:
            draft.timeouts = {"check_ms": self.proxy.timeouts.check_ms}
        assert self.proxy.backend_index is not None
        backend = self.proxy.backend_index
        found = added_server(
            draft,
            self.draft,
            slot,
            backend,
            number,
            families=self.families,
            name_row=name_row,
        )
        return msgspec.structs.replace(
            found,
            added=change,
            init_addr=(),
            line=written(self.words),
            enabled=not self.administration & (AdminFlag.FMAINT | AdminFlag.CMAINT),
        )


def _no_name(name: str, _family: Family) -> str | None:
    """A name in `addr` or `agent-addr`: libc would keep all callers of control waiting."""
    raise ConfigError(f"the name '{name}' is not resolved while running: write its address")


def read_line(proxy: Proxy, name: str, words: list[str], resolverd: ResolverdSettings) -> AddedLine:
    """The line of `add server <proxy>/<name> <words>`; raises CommandError."""
    if not words:
        raise CommandError(NO_ARGUMENTS)
    options = _with_template(proxy, tuple(words[1:]))
    _refuse(options)
    kind = ProxyKind.LISTEN if proxy.kind == "listen" else ProxyKind.BACKEND
    draft = ProxyDraft(proxy.name, kind, ORIGIN)
    context = Context(Messages(), dict(os.environ), _no_name, has_ipv6_route)
    try:
        found = one_server(Statement(ORIGIN, ("server", name, words[0], *options), context), draft)
    except ConfigError as error:
        text = str(error).removeprefix(f"'server {proxy.name}/{name}' : ")
        raise CommandError(f"{text}." if not text.endswith((".", "?")) else text) from error
    _check_name(proxy, found, resolverd)
    _check(proxy, found)
    administration = _administration(options, checked=found.options.check)
    return AddedLine(proxy, found, administration, resolverd.families, tuple(words))


def _with_template(proxy: Proxy, options: tuple[str, ...]) -> tuple[str, ...]:
    """The options, those of `from <template>` before the others; raises CommandError."""
    if options[:1] != (FROM,):
        return options
    if len(options) < 2:
        raise CommandError("'from' expects the name of a 'default-server' line.")
    templates, template = dict(proxy.server_templates), options[1]
    if template not in templates:
        suggestion = hint(template, templates) or "."
        raise CommandError(
            f"unable to find 'default-server name {template}' in backend {proxy.name}{suggestion}"
        )
    return (*templates[template], *options[2:])


def _refuse(options: tuple[str, ...]) -> None:
    """Raise CommandError for the first word that no added server may have."""
    while options:
        word = options[0]
        if word in REFUSED:
            raise CommandError(f"'{word}' option is not accepted for dynamic server")
        if word in RELOADED:
            raise CommandError(
                f"'{word}' is not supported for a server that is added at run time: write it "
                "into the file and reload."
            )
        if word not in SERVER_OPTIONS:
            return  # reading says what is wrong
        options = options[1 + argument_count(options) :]


def _check_name(proxy: Proxy, found: ServerDraft, resolverd: ResolverdSettings) -> None:
    """Raise CommandError for a name or a section that cannot be asked."""
    address, section = found.address, found.options.resolvers
    names = [each.name for each in resolverd.sections]
    if section is None and address.number is None and address.local is None:
        # HAProxy registers it, and gives it no address ever (management manual 9.3, `add server`)
        first = names[0] if names else "<section>"
        raise CommandError(
            f"the name '{address.host}' is asked for only by nameservers of a 'resolvers' section: "
            f"add 'resolvers {first}', or write its address."
        )
    if section is not None and section not in names:
        raise CommandError(
            f"proxy '{proxy.name}', server '{found.name}': unable to find required resolvers "
            f"'{section}'{hint(section, names)}"
        )


def _check(proxy: Proxy, found: ServerDraft) -> None:
    """Raise CommandError for what the options do not say alone."""
    options, address = found.options, found.address
    if not options.check:
        return
    if isinstance(proxy.check_rules, ExternalCheck):
        raise CommandError(
            "'check' is not supported for a server that is added to a backend with "
            "'option external-check': write it into the file and reload."
        )
    kind = "proxy" if proxy.kind == "listen" else "backend"
    no_port = found.port_relative and options.checking.own_port is None and not address.local
    if no_port and not (proxy.check_rules and proxy.check_rules.names_ports):
        raise CommandError(
            f"config: {kind} '{proxy.name}': server '{found.name}' has neither service port nor "
            "check port nor tcp_check rule 'connect' with port information."
        )


def _administration(options: tuple[str, ...], *, checked: bool) -> AdminFlag:
    """In maintenance, unless the line says otherwise, and not checked."""
    flags = AdminFlag.FMAINT
    while options:
        if options[0] == "disabled":
            flags |= AdminFlag.CMAINT
        elif options[0] == "enabled":
            flags = AdminFlag(0)
        options = options[1 + argument_count(options) :]
    return flags | AdminFlag.CHECK_OFF if checked else flags
