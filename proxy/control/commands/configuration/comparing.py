"""The files as they are now, beside what was loaded from them; read with this process's rights.

`LoadedFiles` compares them anew only where one was touched, in a thread: a scrape asks each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from proxy.config.lines.process.peers import LOCAL_PEER, LOCAL_PEER_ORDERED
from proxy.config.outline.outcome import Comparison, RunningOrder, outcome
from proxy.config.outline.patterns import digests_of, lists_now
from proxy.config.outline.reading import lines_now
from proxy.config.text.messages import Messages, Severity
from proxy.config.text.sources import expand_sources
from proxy.control.command import CommandError
from proxy.control.rows.report import Report

UNREADABLE = (
    "The files cannot be read by this process: {}. 'millrace -c --against <this socket> -f <file>' "
    "reads them with your own rights."
)
Mark = tuple[int, int, int] | None  # by which a file is known to be as it was; None: it is gone


class ConfiguredFiles:
    """Where the configuration was read from, and what stands there now."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def compared(
        self, orders: Sequence[RunningOrder], wrong: list[str], unread: list[str]
    ) -> Comparison:
        """Read the files and compare; adds to `wrong` the lines that are none.

        Adds to `unread` the files of patterns that cannot be read; where it is those of lines it
        raises CommandError.
        """
        runtime, messages = self._report.runtime, Messages()
        pairs = (os.fsdecode(each).partition("=") for each in runtime.environment)
        peers = {
            name: value for name, _, value in pairs if name in (LOCAL_PEER, LOCAL_PEER_ORDERED)
        }
        now = list(lines_now(self._sources(), {**peers, **os.environ}, messages))
        for each in messages.all():
            if each.origin is None:
                raise CommandError(UNREADABLE.format(each.text))
            if each.severity is Severity.ALERT:
                wrong.append(f"{each.origin.file}:{each.origin.line}: {each.text}")
        references = self._report.settings.references
        lists = lists_now(references, self._folder(), unread)
        return outcome(runtime.kept.lines(), now, orders, digests_of(references), lists)

    def marks(self) -> list[Mark]:
        """One for each file and folder that was read, in their order."""
        return [_mark(path) for path in self._paths()]

    def _paths(self) -> Iterator[str | Path]:
        sources, folder = self._sources(), self._folder()
        yield from sources  # a folder itself tells when one of its files is another
        yield from expand_sources(sources, Messages())
        yield from (folder / each.path for each in self._report.settings.references if each.name)

    def _folder(self) -> Path:
        """Where relative paths begin; empty where this process is there."""
        kept = self._report.runtime.kept
        with suppress(OSError):  # of a folder that is gone
            if Path.cwd() == Path(kept.folder):
                return Path()
        return Path(kept.folder)

    def _sources(self) -> list[str]:
        """Files and folders by paths that lead there from where this process is."""
        folder = self._folder()
        return [str(folder / source) for source in self._report.runtime.kept.sources]


def _mark(path: str | Path) -> Mark:
    with suppress(OSError):
        found = Path(path).stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


class LoadedFiles:
    """Whether a reload would find something else than what was loaded."""

    def __init__(self, report: Report) -> None:
        self._files = ConfiguredFiles(report)
        self._marks: list[Mark] = []  # when they were compared last
        self._comparing: Thread | None = None
        self._changed: bool | None = None

    def changed(self) -> bool | None:
        """By the last comparison; None where the files cannot be read, or were not yet.

        Where a file was touched since then a thread compares, for those that ask next.
        """
        if self._comparing is None or not self._comparing.is_alive():
            marks = self._files.marks()
            if marks != self._marks:
                thread = Thread(target=self._compare, daemon=True)
                with suppress(RuntimeError):  # no memory for one: the next time, perhaps
                    thread.start()
                    self._marks, self._comparing = marks, thread
        return self._changed

    def _compare(self) -> None:
        wrong: list[str] = []
        unread: list[str] = []
        try:
            found = self._files.compared((), wrong, unread)
        except (CommandError, OSError):
            self._changed = None
        else:
            changed = bool(found.differences or found.patterns or wrong)
            self._changed = None if unread and not changed else changed
