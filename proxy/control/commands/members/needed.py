"""Which servers of the files cannot be deleted, or renamed, while the program runs.

Pure but for the table of servers. A server that was added is needed by nothing.
"""

from __future__ import annotations

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import CommandError
from proxy.control.rows.report import Report
from proxy.server_table import checked_by_program

POINTED_TO = (  # as HAProxy says it
    "This server cannot be removed at runtime due to other configuration elements pointing to it."
)
BY_TEMPLATE = (
    "A server of a 'server-template', or of an SRV name, cannot be removed at runtime: DNS decides "
    "which of them have an address. Leave it in maintenance, or change the line and reload."
)
BY_PROGRAM = (
    "A server with 'option external-check' cannot be removed at runtime: leave it in maintenance, "
    "or take its line out and reload."
)

NAME_POINTED_TO = (
    "This server cannot be renamed at runtime due to other configuration elements pointing to it."
)
NAMED_BY_DNS = (
    "A server with 'resolvers' cannot be renamed at runtime: what DNS says of it goes by its name. "
    "Change the line and reload."
)
NAMED_TO_PROGRAM = (
    "A server with 'option external-check' cannot be renamed at runtime: the program goes by its "
    "name. Change the line and reload."
)


def refuse_needed(proxy: Proxy, server: Server, report: Report) -> None:
    """Raise CommandError for a server that lines or other servers need, or that shares its line."""
    if server.slot in report.settings.named or _is_tracked(server, report):
        raise CommandError(POINTED_TO)
    siblings = report.servers.of(proxy)
    shared = any(each.origin == server.origin for each in siblings if each is not server)
    if shared or server.srv_record is not None:
        raise CommandError(BY_TEMPLATE)
    if checked_by_program(proxy, server):
        raise CommandError(BY_PROGRAM)


def refuse_named(proxy: Proxy, server: Server, report: Report) -> None:
    """Raise CommandError for a server that something else calls by its name."""
    of_files = not server.added
    if of_files and (server.slot in report.settings.named or _is_tracked(server, report)):
        raise CommandError(NAME_POINTED_TO)
    if server.resolvable:
        raise CommandError(NAMED_BY_DNS)
    if checked_by_program(proxy, server):
        raise CommandError(NAMED_TO_PROGRAM)


def _is_tracked(server: Server, report: Report) -> bool:
    return any(each.tracked_slot == server.slot for each in report.servers)
