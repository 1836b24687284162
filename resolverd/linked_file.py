"""Reads a file again and again through folders that were opened before, link by link.

Owns the way to the file. /etc/resolv.conf is often a link (systemd-resolved, NetworkManager) that
somebody replaces, or a file that is replaced by renaming another over it; in a changed root only
descriptors lead there. So each link is read by hand, each step through its folder's descriptor.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from resolverd.config import LinkedFile

LINKS_MAX = 16  # one behind the other; the kernel follows 40
OPEN_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

Passed = dict[str, int]  # path of a folder -> its descriptor


def open_folder(path: str) -> int:
    """A descriptor of a folder that need not be readable; raises OSError."""
    return os.open(path, OPEN_FOLDER)


def walk(path: str, find: Callable[[str], int], passed: Passed) -> tuple[int, str]:
    """Follow the links from `path`: the folder of the file itself, and its name there.

    `find` gives the descriptor of a folder; those that the way leads through are put in `passed`,
    even if it ends in OSError.
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
    """Open the folders on the way to a file, as far as it leads."""
    passed: Passed = {}
    with suppress(OSError):
        walk(path, open_folder, passed)
    return tuple(passed.items())


class LinkedFileReader:
    """One file; `passed` are the folders of the last way to it."""

    def __init__(self, file: LinkedFile) -> None:
        """Nothing is read yet; the descriptors of `file` stay its owner's."""
        self.passed: Passed = {}
        self._file = file
        self._given = dict(file.folders)
        self._opened: Passed = {}

    def read(self, bytes_max: int) -> bytes:
        """The first bytes of the file; raises OSError."""
        self.passed = {}
        try:
            folder, name = walk(self._file.path, self._find, self.passed)
            with open(os.open(name, OPEN_FILE, dir_fd=folder), "rb") as stream:
                return stream.read(bytes_max) or b""
        finally:
            for path in self._opened.keys() - self.passed.keys():
                os.close(self._opened.pop(path))

    def _find(self, folder: str) -> int:
        if folder in self._given:
            return self._given[folder]
        if folder not in self._opened:
            if self._file.confined:
                raise OSError(errno.EXDEV, f"a link leads to {folder}, outside of the chroot")
            self._opened[folder] = open_folder(folder)
        return self._opened[folder]
