"""`-S <address>[,<option>[,<value>]]...` of the command line: a socket of the master CLI.

Its options are those of a `stats socket` line, with commas for spaces (management manual, section
3); without `level` it is one for administrators, as in HAProxy.
"""

from __future__ import annotations

from proxy.config.lines.proxy.bind import STATS_SOCKET_OPTIONS, read_bind_options
from proxy.config.lines.table import Statement
from proxy.config.model.settings import Origin, StatsSocket
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.context import Context
from proxy.config.text.messages import ConfigError

ORIGIN = Origin("master-socket")


def read_master_socket(text: str, context: Context) -> StatsSocket:
    """The socket of one `-S`; ConfigError for one that is not understood."""
    address, *words = text.split(",")
    if not address:
        raise ConfigError("-S expects an address or a path")
    statement = Statement(ORIGIN, tuple(words), context)
    options = read_bind_options(statement, "-S", STATS_SOCKET_OPTIONS)
    if options.exposes:
        statement.notice("'expose-fd' has no effect here: a 'stats socket' line gives the sockets")
    return StatsSocket(
        endpoint=single_endpoint(parse_address(address, context.environment), context.resolve_host),
        origin=ORIGIN,
        level=options.level if "level" in words[::2] else "admin",
        mode=options.unix_mode,
        user=options.unix_user,
        group=options.unix_group,
    )
