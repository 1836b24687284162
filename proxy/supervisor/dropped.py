"""What was ordered of the old generation and ends with it, because the new one goes by its files.

Limits of clients, closed frontends, and entries of acls and maps: told in a line each. The old
control writes no more when this is looked for, so that one process reads its lists at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from proxy.config.model.lists import Reference
from proxy.config.model.settings import Settings
from proxy.config.outline.patterns import Entry, entries_read, title_of_list
from proxy.lists.changing.area import ListArea
from proxy.lists.changing.editor import ListEditor
from proxy.lists.pack import Packer
from proxy.runtime import Runtime
from proxy.supervisor.helper import Helper
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reload_report import ReloadReport
from shm.client_orders import OPEN, ClientOrdersReader

ENTRIES_AT_ONCE = 65_536  # so that they are not there twice


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


class DroppedEntries:
    """Entries that were changed and are not so in the files: told when a helper has found them.

    A large list takes it seconds, for which nothing waits.
    """

    def __init__(self, reactor: Reactor, say: Callable[[str], None], report: ReloadReport) -> None:
        """`say` gets a line for each list; the `report` is not complete until then."""
        self._reactor = reactor
        self._say = say
        self._report = report
        self._helper: Helper | None = None

    def tell(self, old: Runtime, new: Runtime) -> None:
        """Look for them, where any list was changed; raises OSError when there is no helper."""
        lists = old.lists
        if lists is None or not any(map(lists.changed, range(len(old.settings.references)))):
            return

        def look(send: Callable[[bytes], None]) -> None:
            lines = _entries_dropped(lists, old.settings, new.settings)
            send("\n".join(lines).encode(errors="surrogateescape"))

        self._helper = Helper(look, "millrace: dropped entries")
        self._reactor.watch(self._helper.descriptor, self._received)
        self._report.complete = False

    def _received(self, _now_ms: int) -> None:
        assert self._helper is not None
        if self._helper.receive():
            self._reactor.forget(self._helper.descriptor)
            text = self._helper.end().decode(errors="surrogateescape")
            for line in text.splitlines():
                self._say(line)
            self._report.complete = True


def _entries_dropped(lists: ListArea, old: Settings, new: Settings) -> Iterator[str]:
    """A line for each list."""
    for number, reference in enumerate(old.references):
        if lists.changed(number):
            packers = [Packer("str") for _ in range(len(reference.lists) + 1)]
            count = _changes_dropped(ListEditor(lists, number, packers), reference, new)
            if count:
                yield _list_text(reference, count)


def _changes_dropped(editor: ListEditor, reference: Reference, settings: Settings) -> int:
    """How many entries were added, removed or changed, and are not so in the new settings."""
    changes: Counter[Entry] = Counter()  # times that each is there more than it was read
    rows = editor.rows(editor.version)
    for first in range(0, len(rows), ENTRIES_AT_ONCE):
        changes.update((key, value) for _, key, value in rows.page(first, ENTRIES_AT_ONCE))
    changes.subtract(entries_read(reference))
    successor = _same(reference, settings)
    present = set() if successor is None else set(entries_read(successor))
    dropped = (e for e, more in changes.items() if more and (more > 0) != (e in present))
    return len({key for key, _ in dropped})


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
