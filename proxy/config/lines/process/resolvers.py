"""The words of a `resolvers` section (manual section 5.3.2).

Owns their limits. Millrace accepts more than HAProxy: the default port is 53, and a nameserver may
be a host name.
"""

from __future__ import annotations

from proxy.config.drafts import ResolversDraft
from proxy.config.lines.handlers import number
from proxy.config.lines.process.resolv_conf import take_resolv_conf
from proxy.config.lines.shapes import ALONE_LENIENT, AT_MOST_ONE
from proxy.config.lines.table import (
    Handler,
    Statement,
    Table,
    act_on_second,
    works,
)
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.config.text.units import parse_number, parse_time_ms
from resolverd.config import (
    FOLLOWED_MAX,
    NAMESERVER_PORT,
    PAYLOAD_MAX,
    PAYLOAD_MIN,
    Nameserver,
    Transport,
    TtlPeriod,
)
from resolverd.resolv_conf.file import NDOTS_MAX, SEARCH_MAX, normal_domain

RETRIES_MAX = 1_000
NAMESERVERS_MAX = 64  # of one section; every question is sent to each of them


def _nameserver(statement: Statement, draft: ResolversDraft) -> None:
    words = statement.arguments
    if not words:
        raise ConfigError("'nameserver' expects a name and an address (<ip>[:<port>])")
    name = words[0]
    check_label(name, "nameserver")
    if len(words) < 2 or not words[1]:
        raise ConfigError(
            f"'nameserver {name}' has no address: write 'nameserver {name} <ip>:<port>', "
            f"or 'parse-resolv-conf' for the nameservers of {statement.context.resolv_conf}"
        )
    address = parse_address(words[1], statement.context.environment)
    if address.local is not None or address.wildcard:
        raise ConfigError(
            f"'nameserver {name}' expects an IP address or a host name, not '{words[1]}'"
        )
    endpoint = single_endpoint(address, statement.context.resolve_host, NAMESERVER_PORT)
    transport = Transport.TCP if address.transport == "tcp" else Transport.UDP
    if transport is Transport.TCP:
        statement.at_most(2)
    statement.pass_over(2, f"'nameserver {name}'")
    _add(statement, draft, Nameserver(name, endpoint.host, endpoint.port, transport))


def _add(statement: Statement, draft: ResolversDraft, nameserver: Nameserver) -> None:
    for known, origin in draft.nameservers:
        if known.name == nameserver.name:
            raise ConfigError(
                f"nameserver '{nameserver.name}' has same name as another nameserver "
                f"(declared at {origin.file}:{origin.line})"
            )
    if len(draft.nameservers) >= NAMESERVERS_MAX:
        raise ConfigError(f"more than {NAMESERVERS_MAX} nameservers in resolvers '{draft.name}'")
    draft.nameservers = [*draft.nameservers, (nameserver, statement.origin)]


def _parse_resolv_conf(statement: Statement, draft: ResolversDraft) -> None:
    path = statement.context.resolv_conf
    messages = statement.context.messages
    found = take_resolv_conf(draft, path, statement.origin, messages)
    if not found.nameservers:
        statement.warn(f"'parse-resolv-conf' found no nameserver in {path}")
    elif len(found.nameservers) > FOLLOWED_MAX:
        statement.warn(f"only the first {FOLLOWED_MAX} nameservers of {path} are asked")


def _search(statement: Statement, draft: ResolversDraft) -> None:
    """`search`: the last line counts, as in resolv.conf."""
    if not 0 < len(statement.arguments) <= SEARCH_MAX:
        raise ConfigError(f"'search' expects 1 to {SEARCH_MAX} domains")
    domains: dict[str, None] = {}
    for text in statement.arguments:
        domain = normal_domain(text)
        if domain is None:
            raise ConfigError(f"'search' : '{text}' is no domain")
        domains[domain] = None
    draft.search = tuple(domains)


def _time(field: str) -> Handler[ResolversDraft]:
    def handle(statement: Statement, draft: ResolversDraft) -> None:
        if statement.arguments[:1] == ("ttl",):
            raise ConfigError(f"'timeout {statement.keyword}' follows no ttl: give a time")
        value = parse_time_ms(statement.one("a time"), statement.warn)
        if value == 0:
            raise ConfigError(f"'timeout {statement.keyword}' must be greater than 0")
        setattr(draft, field, value)

    return handle


def _resolve(statement: Statement, draft: ResolversDraft) -> None:
    """A fixed period, or `ttl [min <time>] [max <time>]`; the last line of a section counts."""
    draft.ttl_period = None
    if statement.arguments[:1] != ("ttl",):
        _time("timeout_resolve_ms")(statement.pass_over(1, "'timeout resolve'"), draft)
        return
    bounds: dict[str, int] = {}
    words = list(statement.arguments[1:])
    while words:
        bound = words.pop(0)
        if bound not in ("min", "max") or bound in bounds:
            raise ConfigError(
                f"'timeout resolve ttl' takes 'min <time>' and 'max <time>', not '{bound}'"
            )
        if not words:
            raise ConfigError(f"'timeout resolve ttl {bound}' expects a time")
        bounds[bound] = parse_time_ms(words.pop(0), statement.warn)
        if bounds[bound] == 0:
            raise ConfigError(f"'timeout resolve ttl {bound}' must be greater than 0")
    shortest = bounds.get("min", min(TtlPeriod().min_ms, bounds.get("max", TtlPeriod().min_ms)))
    longest = bounds.get("max", max(TtlPeriod().max_ms, shortest))
    if shortest > longest:
        raise ConfigError(
            f"'timeout resolve ttl' has a min ({shortest} ms) above its max ({longest} ms)"
        )
    draft.ttl_period = TtlPeriod(shortest, longest)


_TIMEOUTS: Table[ResolversDraft] = {
    "resolve": works(_resolve),
    "retry": works(_time("timeout_retry_ms"), shape=AT_MOST_ONE),
}


def _timeout(statement: Statement, draft: ResolversDraft) -> None:
    act_on_second(statement, draft, _TIMEOUTS, "'resolve' or 'retry', and a time")


def _hold(status: str) -> Handler[ResolversDraft]:
    def handle(statement: Statement, draft: ResolversDraft) -> None:
        period = parse_time_ms(statement.one("a time"), statement.warn)
        draft.holds = {**draft.holds, f"{status}_ms": period}

    return handle


_HOLDS: Table[ResolversDraft] = {
    status: works(_hold(status), shape=AT_MOST_ONE)
    for status in ("nx", "other", "refused", "timeout", "valid", "obsolete")
}


def _hold_line(statement: Statement, draft: ResolversDraft) -> None:
    act_on_second(statement, draft, _HOLDS, "a status and a time")


def _pool_size(statement: Statement, _draft: ResolversDraft) -> None:
    parse_number(statement.one("a number"), 0, 2_147_483_647)
    statement.notice("'resolution_pool_size' has no effect here: there is no limit on resolutions")


RESOLVERS_WORDS: Table[ResolversDraft] = {
    "nameserver": works(_nameserver),
    "parse-resolv-conf": works(_parse_resolv_conf, shape=ALONE_LENIENT),
    "accepted_payload_size": works(
        number("accepted_payload_size", PAYLOAD_MIN, PAYLOAD_MAX), shape=AT_MOST_ONE
    ),
    "resolve_retries": works(number("resolve_retries", 1, RETRIES_MAX), shape=AT_MOST_ONE),
    "timeout": works(_timeout),
    "hold": works(_hold_line),
    "resolution_pool_size": works(_pool_size),
    "search": works(_search),
    "ndots": works(number("ndots", 0, NDOTS_MAX)),
}
