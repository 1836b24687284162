"""Notices about short names that are asked for as written although there is a search list (M13).

Owns the rule, from the text alone: no name is looked up. libc applies the list when it resolves a
name at the start, DNS does not after that, so such a server works until the first NXDOMAIN. For a
section without a list of its own the host's resolv.conf counts, because libc uses that.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.drafts import ProxyDraft, ResolversDraft
from proxy.config.lines.process.resolv_conf import read_resolv_conf
from proxy.config.server_drafts import ServerDraft
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.names import is_service_name
from resolverd.resolv_conf.file import ResolvConf


def check_short_names(
    resolvers: Sequence[ResolversDraft],
    proxies: Sequence[ProxyDraft],
    messages: Messages,
    resolv_conf: str,
) -> None:
    """Add a notice for each name that a search list would change, or that lacks its search list.

    `resolv_conf` is the path of the host's file; one that cannot be read has no list.
    """
    host: ResolvConf | None = None
    sections = {draft.name: draft for draft in resolvers}
    reported: set[tuple[str, str]] = set()
    for proxy in proxies:
        for server in proxy.servers:
            section = sections.get(server.options.resolvers or "")
            if proxy.disabled or section is None or server.address.number is not None:
                continue
            name = server.address.host
            if is_service_name(name) or name.endswith("."):
                continue
            if host is None:
                host = _read_or_nothing(resolv_conf)
            place = (section.name, name.lower())
            described = f"{proxy.title} : server '{server.name}'"
            text = _judge(described, server, section)
            if not section.domains and section.resolv_conf is None and not server.options.search:
                text = _judge_by_host(described, name, section, host, resolv_conf)
            if text and place not in reported:
                reported.add(place)
                messages.notice(text, server.origin)


def _judge(described: str, server: ServerDraft, section: ResolversDraft) -> str:
    name, domains, ndots = server.address.host, section.domains, section.dots_wanted
    if server.options.search:
        if domains or section.resolv_conf is not None:
            return ""
        return (
            f"{described} : 'resolve-opts search' finds no search list: write 'search <domain>' "
            f"or 'parse-resolv-conf' in resolvers '{section.name}'"
        )
    if not domains or name.count(".") >= ndots:
        return ""
    return (
        f"{described} : the name '{name}' is sent as written, without the search list of resolvers "
        f"'{section.name}' ({' '.join(each or '.' for each in domains)}; ndots {ndots}): add "
        f"'resolve-opts search', write the full name, or '{name}.' if it is complete"
    )


def _judge_by_host(
    described: str, name: str, section: ResolversDraft, host: ResolvConf, path: str
) -> str:
    if not host.search or name.count(".") >= host.ndots:
        return ""
    domains = " ".join(each or "." for each in host.search)
    return (
        f"{described} : the name '{name}' is sent as written; libc finds it at the start through "
        f"the search list of {path} ({domains}; ndots {host.ndots}), resolvers '{section.name}' "
        f"does not: add 'search {domains}' there and 'resolve-opts search' here, write the full "
        f"name, or '{name}.' if it is complete"
    )


def _read_or_nothing(path: str) -> ResolvConf:
    try:
        return read_resolv_conf(path)
    except ConfigError:
        return ResolvConf()
