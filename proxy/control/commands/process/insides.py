"""The commands that look into processes: threads, descriptors, memory, tasks, libraries."""

from __future__ import annotations

from proxy.control.command import Command
from proxy.control.commands.mail import Mail
from proxy.control.commands.process.census import Census
from proxy.control.commands.process.show_fd import ShowFd
from proxy.control.commands.process.show_libs import ShowLibs
from proxy.control.commands.process.show_pools import ShowPools
from proxy.control.commands.process.show_tasks import ShowTasks
from proxy.control.commands.process.show_threads import ShowThreads
from proxy.control.rows.report import Report


def inside_commands(report: Report, mail: Mail) -> list[Command]:
    """All of them."""
    census = Census(report)
    return [
        *ShowFd(report, census).commands(),
        *ShowLibs(census).commands(),
        *ShowPools(report, census).commands(),
        *ShowTasks(report, mail).commands(),
        *ShowThreads(census).commands(),
    ]
