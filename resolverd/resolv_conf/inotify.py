"""Watches folders for files that are created, replaced or written: inotify(7).

Owns one inotify instance. Knows folders by descriptor only: inotify_add_watch() takes a path, so
the process changes its working directory for the call and passes ".", which works in a changed root
as well.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_ONLYDIR = 0x0100_0000
EVENTS = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR
READ_BYTES = 65_536  # events of one reading

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class FolderWatch:
    """One inotify instance; its `descriptor` becomes readable with an event."""

    def __init__(self) -> None:
        """Raises OSError at the user's limit of instances."""
        self.descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._watches: dict[int, int] = {}  # folder -> watch

    def watch(self, folders: set[int]) -> None:
        """Watch these folders and no others; raises OSError for one that cannot be watched."""
        for folder in self._watches.keys() - folders:
            _libc.inotify_rm_watch(self.descriptor, self._watches.pop(folder))
        for folder in folders - self._watches.keys():
            self._watches[folder] = self._add(folder)

    def drain(self) -> None:
        """Read and drop all events."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, READ_BYTES):
                pass

    def close(self) -> None:
        """Close the instance."""
        os.close(self.descriptor)

    def _add(self, folder: int) -> int:
        try:
            here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        except OSError:  # started by root in a folder that its user may not enter
            here = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            os.fchdir(folder)
            return _checked(_libc.inotify_add_watch(self.descriptor, b".", EVENTS))
        finally:
            os.fchdir(here)
            os.close(here)
