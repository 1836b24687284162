"""Configuration files to settings: the one entry to this package.

Owns the order of the steps: files, lines, sections, checks, build. Its only inputs are the files
and the host's names, users and routes; it prints nothing and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from proxy.config.drafts import GlobalDraft, ProxyDraft, ResolversDraft
from proxy.config.lines.process.master_socket import read_master_socket
from proxy.config.lines.process.peers import LOCAL_PEER
from proxy.config.lines.process.resolv_conf import take_resolv_conf
from proxy.config.lines.proxy.email_alert import check_email_alerts
from proxy.config.lines.rules.lists import forget_lists
from proxy.config.linking.checks import DEFAULT_RESOLVERS, check
from proxy.config.linking.rules.peers import check_peers
from proxy.config.linking.settings import build
from proxy.config.linking.short_names import check_short_names
from proxy.config.linking.tls import TlsTable
from proxy.config.model.settings import Settings, StatsSocket
from proxy.config.outline.kept import KeptConfiguration, LineKeeper
from proxy.config.sections import Sections
from proxy.config.spare_backends import spare_backends
from proxy.config.text.context import (
    RESOLV_CONF,
    Context,
    ResolveHost,
    has_ipv6_route,
    resolve_with_libc,
)
from proxy.config.text.messages import ConfigError, Message, Messages
from proxy.config.text.sources import expand_sources, read_lines
from resolverd.config import Family


class LoadResult(msgspec.Struct, frozen=True):
    """The result of a load: settings unless there was an ALERT, and all messages."""

    settings: Settings | None
    messages: tuple[Message, ...]
    environment: tuple[bytes, ...] = ()  # NAME=value, behind the last line of the files
    kept: KeptConfiguration = KeptConfiguration()


def load(
    sources: Sequence[str],
    *,
    environ: Mapping[str, str],
    resolve_host: ResolveHost = resolve_with_libc,
    ipv6_route: Callable[[], bool] = has_ipv6_route,
    resolv_conf: str = RESOLV_CONF,
    accept_families: tuple[Family, ...] | None = None,
    server_verify: bool = True,
) -> LoadResult:
    """Read files and folders in order; `environ` has the values of `"$NAME"` and is not changed.

    `resolve_host` returns the address of a host name in `bind`, `log`, `stats socket` and
    `nameserver` lines (never of a server) or None, and may block. `accept_families` takes
    precedence over `dns-accept-family`. Without `server_verify` certificates of servers are
    verified only where lines ask for it.
    """
    messages = Messages()
    context = Context(messages, dict(environ), resolve_host, ipv6_route, resolv_conf)
    sections, keeper = Sections(context), LineKeeper()
    for file in expand_sources(sources, messages):
        sections.leave()
        for line in read_lines(file, context.environment, messages):
            sections.read(line)
            keeper.add(line)
    _add_default_resolvers(sections, context)
    _keep_environment(sections.globals, context)
    tls = TlsTable(sections.globals, verify=server_verify)
    lists = sections.user_lists
    drafts = (sections.globals, sections.resolvers, sections.proxies)
    check(*drafts, messages, tls=tls, user_lists=lists)
    local = context.environment.get(LOCAL_PEER, "")
    check_peers(sections.proxies, sections.peers, local, messages)
    check_email_alerts(sections.proxies, sections.mailers, messages)
    check_short_names(sections.resolvers, sections.proxies, messages, resolv_conf)
    settings: Settings | None = None
    if not messages.failed:
        families = accept_families or _families(sections, context)
        try:
            spare = spare_backends(sections)
            proxies = [*sections.proxies, *spare]
            settings = build(
                sections.globals, sections.resolvers, proxies, families, tls=tls, user_lists=lists
            )
        except ConfigError as error:
            messages.alert(str(error))
    forget_lists()
    environment = tuple(os.fsencode(f"{name}={value}") for name, value in _environment(context))
    kept = keeper.kept(tuple(sources), _folder())
    return LoadResult(settings, messages.all(), environment, kept)


def _folder() -> str:
    """The working directory; empty where it was removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _families(sections: Sections, context: Context) -> tuple[Family, ...]:
    """`dns-accept-family`; without one, IPv4 and, where there is a route, IPv6 (S6)."""
    if sections.globals.accept_families is not None:
        return sections.globals.accept_families
    return (Family.IPV4, Family.IPV6) if context.has_ipv6_route() else (Family.IPV4,)


def _environment(context: Context) -> list[tuple[str, str]]:
    """The variables but for pseudo variables, which no process has."""
    return [pair for pair in context.environment.items() if not pair[0].startswith(".")]


def _keep_environment(draft: GlobalDraft, context: Context) -> None:
    """`external-check preserve-env`: what programs have beside variables of their own."""
    if draft.programs.keep_environment:
        pairs = sorted(_environment(context))
        kept = tuple((os.fsencode(name), os.fsencode(value)) for name, value in pairs)
        draft.programs = msgspec.structs.replace(draft.programs, environment=kept)


def read_master_sockets(
    texts: Sequence[str],
    *,
    environ: Mapping[str, str],
    resolve_host: ResolveHost = resolve_with_libc,
) -> tuple[tuple[StatsSocket, ...], tuple[Message, ...]]:
    """The sockets of all `-S` of a command line, and all messages about them."""
    messages = Messages()
    context = Context(messages, dict(environ), resolve_host, has_ipv6_route)
    sockets = []
    for text in texts:
        try:
            sockets.append(read_master_socket(text, context))
        except ConfigError as error:
            messages.alert(f"'-S {text}' : {error}")
    return tuple(sockets), messages.all()


def _add_default_resolvers(sections: Sections, context: Context) -> None:
    """Add section `default` with resolv.conf's nameservers, if a server refers to it (S4)."""
    user = _first_user(sections.proxies)
    if user is None or any(known.name == DEFAULT_RESOLVERS for known in sections.resolvers):
        return
    draft = ResolversDraft(DEFAULT_RESOLVERS, user.origin)
    try:
        take_resolv_conf(draft, context.resolv_conf, user.origin, context.messages)
    except ConfigError as error:
        context.messages.alert(str(error), user.origin)
    sections.resolvers.append(draft)


def _first_user(proxies: Sequence[ProxyDraft]) -> ProxyDraft | None:
    for draft in proxies:
        if any(server.options.resolvers == DEFAULT_RESOLVERS for server in draft.servers):
            return draft
    return None
