"""`stats` in the global section: the sockets for operators and tools (manual section 3.1).

Owns the forms of a `stats socket` line. Opens no socket.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.proxy.bind import STATS_SOCKET_OPTIONS, read_bind_options
from proxy.config.lines.shapes import AT_MOST_ONE, NUMBER_LENIENT, RANGES
from proxy.config.lines.table import Statement, Table, act_on_second, without_effect, works
from proxy.config.model.settings import SocketFamily, StatsSocket
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms


def _socket(statement: Statement, draft: GlobalDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'stats socket' expects an address or a path")
    address = parse_address(statement.words[1], statement.context.environment)
    options = read_bind_options(statement.skip(2), "stats socket", STATS_SOCKET_OPTIONS)
    endpoint = single_endpoint(address, statement.context.resolve_host)
    if options.exposes and endpoint.family in (SocketFamily.IPV4, SocketFamily.IPV6):
        statement.notice("'expose-fd' has no effect here: only Unix sockets carry sockets")
    draft.stats_sockets.append(
        StatsSocket(
            endpoint=endpoint,
            origin=statement.origin,
            level=options.level,
            mode=options.unix_mode,
            user=options.unix_user,
            group=options.unix_group,
            exposes=options.exposes,
        )
    )


def _timeout(statement: Statement, draft: GlobalDraft) -> None:
    draft.stats_timeout_ms = parse_time_ms(statement.one("a time"), statement.warn)
    if draft.stats_timeout_ms == 0:
        raise ConfigError("'stats timeout' expects a positive value")


STATS_WORDS: Table[GlobalDraft] = {
    "socket": works(_socket),
    "timeout": works(_timeout, shape=AT_MOST_ONE),
    "maxconn": without_effect(
        "the control process bounds its connections itself", shape=NUMBER_LENIENT
    ),
    "bind-process": without_effect("one process serves all stats sockets", shape=RANGES),
}


def stats(statement: Statement, draft: GlobalDraft) -> None:
    """`stats socket|timeout|maxconn` of the global section."""
    act_on_second(statement, draft, STATS_WORDS, "'socket' or 'timeout'")
