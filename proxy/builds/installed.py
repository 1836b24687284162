"""The build that is installed: an id of all files that the program consists of.

It is taken before the program imports them, so that a file that changes later, however soon, makes
the id another one: what runs is of no other build than the one noted. Names, sizes, times and
inodes are looked at, no content: an installation of the same version again is another build, too.
Knows nothing of versions, and imports nothing of the program.
"""

from __future__ import annotations

import hashlib
import operator
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("proxy", "resolverd", "shm")
LAYOUT = (".pxd", "shape.py", "states.py")  # ends of names in shm: what the segment looks like
LIBRARIES = ("uvloop", "msgspec", "prometheus_client", "setproctitle", "pcre2")
CODE = (".py", ".so")
COMPILED_ON_THE_WAY = "__pycache__"  # written by the process that imports first
ID_BYTES = 8
START = (  # as the script would, of the build in that folder
    "import sys; sys.path.insert(0, {root!r}); sys.argv[0] = {script!r}; "
    "from proxy.__main__ import main; sys.exit(main())"
)
INCOMPLETE = "incomplete"  # some file went while it was looked at
OTHER_BUILD = (
    "another build of the program is on disk than the one that runs: what is not loaded yet cannot "
    "be loaded any more"
)


class OtherBuildError(Exception):
    """What was just imported may be of another build than the rest; it is forgotten again."""


class Installation:
    """Where the program that runs came from, how it was started, and the id that its files had."""

    def __init__(self) -> None:
        """Look at the files; takes some milliseconds."""
        root = Path(__file__).parents[2]
        found = (PathFinder.find_spec(name) for name in LIBRARIES)
        places = (spec.submodule_search_locations or () for spec in found if spec is not None)
        named = [
            *(root / name for name in PACKAGES),
            *(Path(folder) for folders in places for folder in folders),
        ]
        self._folder = _folder()
        self._script = Path(self._folder, sys.argv[0])
        if self._script.exists():
            named.append(self._script)
        self._named = named  # links among them may lead elsewhere later
        self._files = [path.resolve() for path in named]
        self._ways = _where(self._files)
        self._root = root.resolve()
        self.build = _build_of(self._files)
        self.layout = _layout_of(root)

    @property
    def changed(self) -> bool:
        """Whether a start would find other files now."""
        return self._look_where() != self._ways or self.replaced

    @property
    def replaced(self) -> bool:
        """Whether the files that run are there no more; else another build lies beside them."""
        return self.build == INCOMPLETE or _build_of(self._files) != self.build

    def _look_where(self) -> str:
        return _where(path.resolve() for path in self._named)

    def on_disk(self) -> str:
        """The id of what a start would find now."""
        return f"{self._look_where()} {_build_of(self._named)}"

    def enter_folder(self) -> None:
        """Go where it was started; one that is gone stops only files that are named in it."""
        with suppress(OSError):
            os.chdir(self._folder)

    def command(self, *first: str) -> list[str]:
        """What starts the build that is on disk, with these words before those of this start."""
        if _is_executable(self._script):
            return [str(self._script), *first, *sys.argv[1:]]
        return [sys.executable, "-m", "proxy", *first, *sys.argv[1:]]

    def former_command(self) -> list[str]:
        """What starts the build that runs, wherever links lead now; nothing once it is replaced.

        The interpreter of a virtual environment is a link that knows it by its folder.
        """
        if self.replaced:
            return []
        interpreter = Path(sys.executable)
        start = START.format(root=str(self._root), script=str(self._script))
        return [str(interpreter.parent.resolve() / interpreter.name), "-c", start, *sys.argv[1:]]


def _where(resolved: Iterable[Path]) -> str:
    return " ".join(map(str, (*resolved, Path(sys.executable).parent.resolve())))


def _build_of(paths: Sequence[Path]) -> str:
    """The id of files, and of those in folders."""
    marks: list[str] = []
    try:
        for path in paths:
            _note(str(path), marks)
    except OSError:
        return INCOMPLETE
    content = "\n".join(marks).encode(errors="replace")
    return hashlib.blake2b(content, digest_size=ID_BYTES).hexdigest()


def _layout_of(root: Path) -> str:
    """The id of the declarations of the segment: equal where both builds read it alike."""
    seen = hashlib.blake2b(digest_size=ID_BYTES)
    for folder in (root / "shm", root / "shm" / "tables"):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - what pathlib adds is time
            if name.endswith(LAYOUT):
                seen.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return seen.hexdigest()


def _note(path: str, marks: list[str]) -> None:
    """Add what a file, or each one below a folder, looks like now; raises OSError."""
    if stat.S_ISDIR((state := os.stat(path)).st_mode):  # noqa: PTH116 - what pathlib adds is time
        _note_below(path, marks)
    else:
        marks.append(_mark(path, state))


def _note_below(folder: str, marks: list[str]) -> None:
    """What cannot be looked at counts by its name.

    A file that goes meanwhile makes the id another one than any that is taken later.
    """
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=_name)
    marks.append(folder)  # the path of all that follows
    below = []
    for entry in entries:
        name = entry.name
        try:
            if name.endswith(CODE):
                marks.append(_mark(name, entry.stat()))
            elif name != COMPILED_ON_THE_WAY and entry.is_dir():
                below.append(entry.path)
        except OSError:
            marks.append(name)
    for each in below:
        try:
            _note_below(each, marks)
        except OSError:
            marks.append(each)


_name = operator.attrgetter("name")


def _mark(name: str, state: os.stat_result) -> str:
    return f"{name} {state.st_size} {state.st_mtime_ns} {state.st_ino}"


def _folder() -> str:
    """Where the program is started; it may have been removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return "/"


def _is_executable(path: Path) -> bool:
    """Whether the kernel finds the interpreter of a script itself."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False


_running: list[Installation] = []  # one, once it was noted


def note_build() -> None:
    """The program begins: what is installed now is what it will be made of."""
    _running[:] = [Installation()]


def another_is_on_disk() -> bool:
    """Whether files have changed since `note_build`; False in a program that noted nothing."""
    return any(each.changed for each in _running)


def running() -> Installation:
    """What was noted; raises IndexError in a program that noted nothing."""
    return _running[0]


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
