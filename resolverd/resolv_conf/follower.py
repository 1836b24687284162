"""Keeps the sections with `parse-resolv-conf` as their file says, while resolverd runs (M15).

Owns when the file is looked at: soon after something has happened in one of its folders, and now
and then all the same, because a file that is mounted over another one moves nothing in the folder.
Writes the names of these sections' nameservers into the segment. What a file means is
file.py's, which row counts whom nameserver_rows.py's, the way to the file linked_file.py's.

A file that cannot be read or names no nameserver changes nothing. A successor begins with the
names that it finds in the segment, then looks at the file like everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from resolverd.config import LinkedFile, ResolversSection
from resolverd.log.lines import WARNING, Log, describe_followed, describe_unasked
from resolverd.resolv_conf.file import BYTES_MAX, ResolvConf, parse_resolv_conf
from resolverd.resolv_conf.inotify import FolderWatch
from resolverd.resolv_conf.linked_file import LinkedFileReader
from resolverd.resolv_conf.nameserver_rows import follow, in_use, rows_of
from shm.counters import NameserverTable
from shm.names import NameReader, NameserverNameWriter
from shm.segment import Segment

LOOK_S = 10.0  # between two looks when nothing seems to happen
SETTLE_S = 0.05  # after an event: whoever replaces a file in two steps has done the second


class ResolvConfFollower:
    """The file and the sections that follow it; `changed` is told each section that is another."""

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
        """Nothing is looked at before `start`."""
        self._path = file.path
        self._reader = LinkedFileReader(file)
        self._sections = {each.name: each for each in sections if each.followed is not None}
        self._names = NameReader(segment)
        self._writer, self._counters = NameserverNameWriter(segment), NameserverTable(segment)
        self._log, self._loop, self._now_ms = log, loop, now_ms
        self._changed = changed
        self._watch: FolderWatch | None = None
        self._complaint = ""  # what was said last of a file that is of no use
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take over what a predecessor knew, look at the file, and go on looking."""
        for section in list(self._sections.values()):
            known = msgspec.structs.replace(section, nameservers=in_use(section, self._names))
            if known != section:
                self._sections[section.name] = known
                self._changed(known)
        try:
            self._watch = FolderWatch()
        except OSError as error:
            self._log(WARNING, f"{self._path} is looked at every {LOOK_S:.0f} s: {error.strerror}")
        else:
            self._loop.add_reader(self._watch.descriptor, self._stirred)
        self._look()

    def _stirred(self) -> None:
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
            self._log(WARNING, f"{self._path} {complaint}: what it said last is kept.")
        self._look_in(LOOK_S)

    def _watch_folders(self) -> None:
        if self._watch is None:
            return
        try:
            self._watch.watch(set(self._reader.passed.values()))
        except OSError:
            return  # the next look comes all the same

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
