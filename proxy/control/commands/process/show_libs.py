"""`show libs`: programs and libraries that the processes have loaded, with their versions.

Children are forked and execute nothing, so most have the same: processes with one list share it.
A version is what the loaded code says of itself, never what lies on the disk by now. A file that
was replaced is said to be that: only a start of the program, no reload, loads the new one.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator

from proxy import __version__
from proxy.control.command import Answer, Command, Level
from proxy.control.commands.process.census import Census
from proxy.kernel.processes import LoadedFile, hiding_reason, loaded_files

REPLACED = "replaced on disk: start the program again to use the new one"
OURS = frozenset({"proxy", "resolverd", "shm"})


def _openssl() -> str:
    module = sys.modules.get("ssl") or sys.modules.get("_ssl")
    words = str(getattr(module, "OPENSSL_VERSION", "")).split()
    return words[1] if len(words) > 1 else ""


def _zlib() -> str:
    return str(getattr(sys.modules.get("zlib"), "ZLIB_RUNTIME_VERSION", ""))


def _glibc() -> str:
    return platform.libc_ver()[1]


def _python() -> str:
    return platform.python_version()


SPEAKING: dict[str, Callable[[], str]] = {  # by the beginning of the file's name
    "libcrypto.so": _openssl,
    "libssl.so": _openssl,
    "libz.so": _zlib,
    "libc.so": _glibc,
    "libpython": _python,
    "python3": _python,
}


def version(path: str) -> str:
    """The version of loaded code by the path of its file; empty where it says none."""
    folders = path.split("/")
    for beginning, speak in SPEAKING.items():
        if folders[-1].startswith(beginning):
            return speak()
    if "lib-dynload" in folders:
        return _python()
    for folder in reversed(folders[:-1]):
        if folder in OURS:
            return __version__
        said = getattr(sys.modules.get(folder), "__version__", None)
        if isinstance(said, str):
            return said
    return ""


def line(file: LoadedFile) -> str:
    """One file, as HAProxy tells it, and what is known beside."""
    name = file.path.rpartition("/")[2]
    known = version(file.path)
    told = f" {known}" if known and known not in name else ""
    gone = f" ({REPLACED})" if file.gone else ""
    size = file.last - file.first + 1
    return f"{file.first:#014x}-{file.last:#014x} ({size:#09x}) {file.path}{told}{gone}\n"


class ShowLibs:
    """One command."""

    def __init__(self, census: Census) -> None:
        self._census = census

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "libraries that each process has loaded"
        return [Command(("show", "libs"), "", text, Level.OPERATOR, self.show)]

    def show(self, _words: list[str], _level: Level) -> Answer:
        """`show libs`."""
        owners: dict[tuple[LoadedFile, ...], list[str]] = {}
        hidden: list[str] = []
        for process in self._census.processes():
            try:
                owners.setdefault(loaded_files(process.pid), []).append(process.named)
            except OSError as error:
                hidden.append(f"# {process.named}: {hiding_reason(error, process.pid)}\n")
            yield ""
        yield from self._lists(owners)
        yield from hidden

    def _lists(self, owners: dict[tuple[LoadedFile, ...], list[str]]) -> Iterator[str]:
        """The first list in full; of each other what it has beside, and what it lacks."""
        first: frozenset[LoadedFile] | None = None
        for files, names in owners.items():
            if first is None:
                yield f"# {', '.join(names)}\n"
                first, shown = frozenset(files), files
            else:
                shown = tuple(file for file in files if file not in first)
                lacking = len(first.difference(files))
                yield f"# {', '.join(names)}: without {lacking} of these, and with\n"
            yield from map(line, shown)
