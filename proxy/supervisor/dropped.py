"""What was ordered of the old generation and ends with it, because the new one goes by its files.

Limits of clients, closed frontends, and entries of acls and maps: told in a line each. The old
control writes no more when this is looked for, so one process reads its lists at a time. What takes
long comes in steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice

from proxy.config.model.lists import Reference
from proxy.config.model.settings import Settings
from proxy.config.outline.patterns import Entry, entries_read, title_of_list
from proxy.lists.changing.editor import ListEditor
from proxy.lists.pack import Packer
from proxy.runtime import Runtime
from proxy.supervisor.slices import Steps
from shm.client_orders import OPEN, ClientOrdersReader

ENTRIES_AT_ONCE = 1_024  # some milliseconds


def orders_dropped(old: Runtime, new: Runtime) -> Iterator[str]:
    """A line for each limit or closed frontend that was ordered and that the files do not have."""
    orders = ClientOrdersReader(old.segment)
    process, configured = orders.process(), new.settings.globals
    for words, ordered, said in (
        ("maxconn global", process.maxconn, configured.maxconn),
        (
            *("rate-limit connections global", process.connection_rate),
            configured.connection_rate,
        ),
        ("rate-limit sessions global", process.session_rate, configured.session_rate),
    ):
        if ordered is not None and ordered != (said or 0):
            yield _dropped(f"set {words} {ordered}", _said(said))
    frontends = {
        each.name: each for each in new.settings.proxies if each.frontend_index is not None
    }
    for proxy in old.settings.proxies:
        now = frontends.get(proxy.name)
        if proxy.frontend_index is None or now is None:
            continue
        order = orders.frontend(proxy.frontend_index)
        place = f"{now.origin.file}:{now.origin.line}: "
        if order.maxconn is not None and order.maxconn != (now.maxconn or 0):
            text = f"set maxconn frontend {proxy.name} {order.maxconn}"
            yield place + _dropped(text, _said(now.maxconn))
        if order.state != OPEN and not now.disabled:
            yield place + f"the reload has opened {now.kind} {now.name}, which was closed by order"


def _said(limit: int | None) -> str:
    return f"the files say {limit}" if limit else "the files set no limit"


def _dropped(order: str, why: str) -> str:
    return f"the reload has dropped '{order}': {why}"


def entries_dropped(
    old: Runtime, new: Runtime, contained: AbstractContextManager[object]
) -> Steps[list[str]]:
    """A line for each list with entries that were changed and are not so in the files.

    `contained` keeps what fails here from the reload.
    """
    found: list[str] = []
    with contained:
        for number, reference in enumerate(old.settings.references if old.lists else ()):
            assert old.lists is not None
            packers = [Packer("str") for _ in range(len(reference.lists) + 1)]
            editor = ListEditor(old.lists, number, packers)
            if editor.loaded:  # it was changed
                count = yield from _changes_dropped(editor, reference, new.settings)
                if count:
                    found.append(_list_text(reference, count))
            yield
    return found


def _changes_dropped(editor: ListEditor, reference: Reference, settings: Settings) -> Steps[int]:
    """How many entries were added, removed or changed, and are not so in the new settings."""
    changes: Counter[Entry] = Counter()  # times that each is there more than it was read
    rows = editor.rows(editor.version)
    for first in range(0, len(rows), ENTRIES_AT_ONCE):
        changes.update((key, value) for _, key, value in rows.page(first, ENTRIES_AT_ONCE))
        yield
    read = entries_read(reference)
    while some := list(islice(read, ENTRIES_AT_ONCE)):
        for entry in some:
            changes[entry] -= 1
            if not changes[entry]:
                del changes[entry]
        yield
    present: set[Entry] = set()
    now = entries_read(successor) if (successor := _same(reference, settings)) else iter(())
    while some := list(islice(now, ENTRIES_AT_ONCE)):
        present.update(entry for entry in some if entry in changes)
        yield
    return len({entry[0] for entry, more in changes.items() if (more > 0) != (entry in present)})


def _same(reference: Reference, settings: Settings) -> Reference | None:
    """The reference of the new settings to the same file, or to the same patterns of a line."""
    key = _key(reference)
    return next((each for each in settings.references if _key(each) == key), None)


def _key(reference: Reference) -> tuple[object, ...]:
    return reference.path, reference.valued, () if reference.name else reference.patterns


def _list_text(reference: Reference, count: int) -> str:
    title = title_of_list(reference) if reference.name else reference.description
    where = "file" if reference.name else "line"
    entries = "1 changed entry" if count == 1 else f"{count} changed entries"
    are = "it is" if count == 1 else "they are"
    return f"the reload has dropped {entries} of {title}: {are} not so in the {where}"
