"""Reads a file repeatedly through folders that were opened before, link by link.

Owns the path to the file. /etc/resolv.conf is often a link (systemd-resolved, NetworkManager) that
is replaced, or a file that is replaced by rename(); after chroot() only descriptors lead there. So
each link is read with readlinkat(), each step through its folder's descriptor. Without chroot a
folder that was replaced (removed and created again, or a link itself, as in a mounted ConfigMap) is
opened anew.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from resolverd.config import LinkedFile

LINKS_MAX = 16  # in a chain; the kernel follows 40
OPEN_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

Passed = dict[str, int]  # path of a folder -> its descriptor


def open_folder(path: str) -> int:
    """A descriptor of a folder, which need not be readable (O_PATH); raises OSError."""
    return os.open(path, OPEN_FOLDER)


def walk(path: str, find: Callable[[str], int], passed: Passed) -> tuple[int, str]:
    """Follow the links from `path`: the descriptor of the file's folder, and its name there.

    `find` returns the descriptor of a folder; all folders on the way are added to `passed`, also
    when it raises OSError.
    """
    for _ in range(LINKS_MAX):
        folder, name = os.path.split(path)
        descriptor = passed[folder] if folder in passed else find(folder)
        passed[folder] = descriptor
        try:
            target = os.readlink(name, dir_fd=descriptor)
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link
                return descriptor, name
            raise
        path = os.path.normpath(Path(folder) / target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def find_folders(path: str) -> tuple[tuple[str, int], ...]:
    """Open the folders on the way to a file, up to the first that fails."""
    passed: Passed = {}
    try:
        with suppress(OSError):
            walk(path, open_folder, passed)
    except BaseException:
        for descriptor in passed.values():
            os.close(descriptor)
        raise
    return tuple(passed.items())


def is_there(folder: str, descriptor: int) -> bool:
    """Whether the path still leads to the open folder; True if it cannot be examined."""
    try:
        there = Path(folder).stat()
    except OSError:
        return True
    return os.path.samestat(there, os.fstat(descriptor))


class LinkedFileReader:
    """One file; `passed` are the folders on the way of the last reading."""

    def __init__(self, file: LinkedFile) -> None:
        """The caller still owns the descriptors of `file`."""
        self.passed: Passed = {}
        self._file = file
        self._given = dict(file.folders)
        self._opened: Passed = {}
        self._former: list[int] = []  # closed after a reading, so that it reuses no number

    def read(self, bytes_max: int) -> bytes:
        """The first `bytes_max` bytes of the file; raises OSError."""
        self.passed = {}
        try:
            folder, name = walk(self._file.path, self._find, self.passed)

            def opener(name: str, _flags: int) -> int:  # `open` closes this descriptor
                return os.open(name, OPEN_FILE, dir_fd=folder)

            with open(name, "rb", opener=opener) as stream:
                return stream.read(bytes_max) or b""
        finally:
            for path in self._opened.keys() - self.passed.keys():
                self._former.append(self._opened.pop(path))
            while self._former:
                os.close(self._former.pop())

    def _find(self, folder: str) -> int:
        if self._file.confined:
            if folder not in self._given:
                raise OSError(errno.EXDEV, f"a link leads to {folder}, outside of the chroot")
            return self._given[folder]
        for known in (self._opened, self._given):
            if folder in known and is_there(folder, known[folder]):
                return known[folder]
        opened = open_folder(folder)
        if folder in self._opened:
            self._former.append(self._opened[folder])
        self._opened[folder] = opened
        return opened
