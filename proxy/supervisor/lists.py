"""The memory in which the lists of a generation change: made before its children are forked.

A reload reads the files anew, so what was changed by hand is gone then, as in HAProxy.
"""

from __future__ import annotations

from proxy.config.model.settings import Settings
from proxy.lists.changing.area import FILE_WINDOW_BYTES, LINE_WINDOW_BYTES, ListArea
from proxy.runtime import Log, Runtime
from proxy.supervisor.children import Child
from shm.log_level import LogLevel

GROWTH = 8  # of a file's lists, at the least


def open_lists(settings: Settings, workers: int, log: Log) -> ListArea | None:
    """Room for all lists; None: there are none, or the kernel refuses so many addresses."""
    if not settings.references:
        return None
    windows = []
    for reference in settings.references:
        numbers = tuple(number for number, _ in reference.lists)
        size = len(reference.content) + sum(len(settings.lists[number]) for number in numbers)
        least = FILE_WINDOW_BYTES if reference.name else LINE_WINDOW_BYTES
        windows.append((numbers, max(least, GROWTH * size)))
    try:
        return ListArea(settings.lists, windows, workers)
    except (OSError, ValueError) as error:
        log(LogLevel.WARNING, f"lists cannot be changed by the stats socket: {error}")
        return None


def settle_lists(runtime: Runtime, child: Child) -> None:
    """A worker has ended, before another has its number: it looks at nothing."""
    if runtime.lists is not None and child.position < runtime.workers:
        runtime.lists.settle(2 * child.position)
        runtime.lists.settle(2 * child.position + 1)
