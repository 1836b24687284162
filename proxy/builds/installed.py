"""The build that is installed: an id of all files that the program consists of.

It is taken before the program imports them, so that a file that changes later, however soon, makes
the id another one: what runs is of no other build than the one noted. Names, sizes, times and
inodes are looked at, no content: an installation of the same version again is another build, too.
Knows nothing of versions, and imports nothing of the program.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("proxy", "resolverd", "shm")
LIBRARIES = ("uvloop", "msgspec", "prometheus_client", "setproctitle", "pcre2")
CODE = (".py", ".so")
COMPILED_ON_THE_WAY = "__pycache__"  # written by the process that imports first
ID_BYTES = 8
INCOMPLETE = "incomplete"  # some file went while it was looked at
OTHER_BUILD = (
    "another build of the program is on disk than the one that runs: what is not loaded yet cannot "
    "be loaded any more"
)


class OtherBuildError(Exception):
    """What was just imported may be of another build than the rest; it is forgotten again."""


class Installation:
    """Where the program that runs came from, and the id that its files had then."""

    def __init__(self) -> None:
        """Look at the files; takes some milliseconds."""
        root = Path(__file__).parents[2]
        found = (PathFinder.find_spec(name) for name in LIBRARIES)
        places = (spec.submodule_search_locations or () for spec in found if spec is not None)
        self._folders = (
            *(str(root / name) for name in PACKAGES),
            *(folder for folders in places for folder in folders),
        )
        # A link to a folder may lead to another one at the next look.
        self._links = (str(Path(sys.argv[0]).absolute()), str(Path(sys.executable).parent))
        self.build = self.on_disk()

    def on_disk(self) -> str:
        """The id of the files that are there now."""
        seen = hashlib.blake2b(digest_size=ID_BYTES)
        try:
            for link in self._links:
                seen.update(f"{link} {os.path.realpath(link)}\n".encode(errors="replace"))
            for folder in self._folders:
                for line in _files(folder):
                    seen.update(line.encode(errors="replace"))
        except OSError:
            return INCOMPLETE
        return seen.hexdigest()


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(CODE):
            state = entry.stat()
            yield f"{entry.path} {state.st_size} {state.st_mtime_ns} {state.st_ino}\n"
        elif entry.is_dir() and entry.name != COMPILED_ON_THE_WAY:
            yield from _files(entry.path)


_running: list[Installation] = []  # one, once it was noted


def note_build() -> None:
    """The program begins: what is installed now is what it will be made of."""
    _running[:] = [Installation()]


def another_is_on_disk() -> bool:
    """Whether files have changed since `note_build`; False in a program that noted nothing."""
    return any(each.on_disk() != each.build for each in _running)


@contextmanager
def of_one_build() -> Iterator[None]:
    """Let the block import more of the program.

    Raises OtherBuildError where files have changed before it ended: none of these modules stays.
    """
    before = set(sys.modules)
    yield
    added = set(sys.modules) - before
    if added and another_is_on_disk():
        for name in added:
            del sys.modules[name]
        raise OtherBuildError(OTHER_BUILD)
