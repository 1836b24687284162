"""Follows the file of sections with `parse-resolv-conf` while resolverd runs (M15).

Owns the times at which the file is read: soon after an event in one of its folders, and every
LOOK_S, because a mount over the file causes no event in the folder. Writes the names of these
sections' nameservers into the segment. Knows no syntax (file.py), no assignment of rows
(nameserver_rows.py) and no links (linked_file.py).

A file that cannot be read or names no nameserver changes nothing. A successor begins with the
names in the segment, then reads the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from resolverd.config import LinkedFile, ResolversSection
from resolverd.log.lines import describe_followed, describe_unasked
from resolverd.resolv_conf.file import BYTES_MAX, ResolvConf, parse_resolv_conf
from resolverd.resolv_conf.inotify import FolderWatch
from resolverd.resolv_conf.linked_file import LinkedFileReader
from resolverd.resolv_conf.nameserver_rows import follow, in_use, rows_of
from shm.counters import NameserverTable
from shm.log_level import Log, LogLevel
from shm.names import NameReader, NameserverNameWriter
from shm.segment import Segment

LOOK_S = 10.0  # between two readings without an event
SETTLE_S = 0.05  # after an event: for the second step of a replacement in two steps


class ResolvConfFollower:
    """The file and its sections; `changed` is called with each section that has changed."""

    def __init__(
        self,
        file: LinkedFile,
        sections: Iterable[ResolversSection],
        segment: Segment,
        *,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        now_ms: Callable[[], int],
        changed: Callable[[ResolversSection], None],
    ) -> None:
        """The file is not read before `start`."""
        self._path = file.path
        self._reader = LinkedFileReader(file)
        self._sections = {each.name: each for each in sections if each.followed is not None}
        self._names = NameReader(segment)
        self._writer, self._counters = NameserverNameWriter(segment), NameserverTable(segment)
        self._log, self._loop, self._now_ms = log, loop, now_ms
        self._changed = changed
        self._watch: FolderWatch | None = None
        self._complaint = ""  # the last logged reason why the file is of no use
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Adopt the nameservers of a predecessor, read the file, and follow it."""
        for section in list(self._sections.values()):
            known = msgspec.structs.replace(section, nameservers=in_use(section, self._names))
            if known != section:
                self._sections[section.name] = known
                self._changed(known)
        try:
            self._watch = FolderWatch()
        except OSError as error:
            self._log(
                LogLevel.WARNING,
                f"{self._path} is looked at every {LOOK_S:.0f} s: {error.strerror}",
            )
        else:
            self._loop.add_reader(self._watch.descriptor, self._folder_changed)
        self._look()

    def _folder_changed(self) -> None:
        assert self._watch is not None
        self._watch.drain()
        self._look_in(SETTLE_S)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        found: ResolvConf | None = None
        complaint = "names no nameserver"
        try:
            found = parse_resolv_conf(self._reader.read(BYTES_MAX).decode(errors="replace"))
        except OSError as error:
            complaint = f"cannot be read ({error.strerror})"
        self._watch_folders()
        if found is not None and found.nameservers:
            self._complaint = ""
            for section in list(self._sections.values()):
                self._take(section, found)
        elif complaint != self._complaint:
            self._complaint = complaint
            self._log(LogLevel.WARNING, f"{self._path} {complaint}: what it said last is kept.")
        self._look_in(LOOK_S)

    def _watch_folders(self) -> None:
        if self._watch is None:
            return
        try:
            self._watch.watch(set(self._reader.passed.values()))
        except OSError:
            return  # the file is read every LOOK_S all the same

    def _take(self, section: ResolversSection, found: ResolvConf) -> None:
        followed = section.followed
        assert followed is not None
        rows = rows_of(followed, self._names)
        after = follow(section, found, rows)
        if after == section:
            return
        self._sections[section.name] = after
        names = {each.index: each.name for each in after.nameservers}
        for row, state in rows.items():
            name = names.get(row, "")
            if name == state.name:
                continue
            self._writer.publish(row, "", self._now_ms())
            if name:
                self._counters.reset(row)
                self._writer.publish(row, name, self._now_ms())
        for level, text in describe_followed(self._path, section, after):
            self._log(level, text)
        for level, text in describe_unasked(self._path, after, len(found.nameservers)):
            self._log(level, text)
        self._changed(after)
