"""Files to lines: names of the files, `.if` blocks, and messages such as `.notice`.

Owns the order of files and the lines in force. Knows no keyword: it yields split lines one by one,
because a line may change the environment with which the next one is expanded.
"""

from __future__ import annotations

import enum
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path

import msgspec

from proxy.config.model.settings import Origin
from proxy.config.text import condition
from proxy.config.text.lexer import split_line
from proxy.config.text.messages import ConfigError, Messages, Severity
from shm.files import read_whole

FILES_MAX = 10_000
FILE_BYTES_MAX = 256 << 20
NESTED_IF_MAX = 1_024  # HAProxy's limit
SUFFIX = ".cfg"


class SourceLine(msgspec.Struct, frozen=True):
    """The words of one line that is not empty."""

    origin: Origin
    words: tuple[str, ...]
    unset: tuple[tuple[int, str], ...] = ()  # a word's index, and a variable that is not set there


class Block(enum.Enum):
    """The state of a `.if` block."""

    TAKEN = "taken"  # the present branch is in force
    WAITING = "waiting"  # no branch was taken yet
    DONE = "done"  # a branch was taken before, or the block is inside one that is not in force


class _Frame(msgspec.Struct):
    """One open `.if`."""

    state: Block
    origin: Origin
    after_else: bool = False


def expand_sources(sources: Sequence[str], messages: Messages) -> list[str]:
    """The files to read: of a folder its *.cfg, in the order of their names' bytes."""
    files: list[str] = []
    for source in sources:
        path = Path(source)
        try:
            if path.is_dir():
                names = sorted(
                    _configurations(path), key=lambda name: name.encode(errors="replace")
                )
                files += [str(path / name) for name in names]
            else:
                files.append(source)
        except OSError as error:
            messages.alert(f"cannot read folder '{source}': {error.strerror}")
    if len(files) > FILES_MAX:
        messages.alert(f"{len(files)} configuration files are too many (at most {FILES_MAX})")
        return []
    return files


def _configurations(folder: Path) -> list[str]:
    return [
        entry.name
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file()
    ]


def read_lines(
    file: str, environment: MutableMapping[str, str], messages: Messages
) -> Iterator[SourceLine]:
    """The lines of a file that are in force; errors of the file are added to `messages`."""
    try:
        with open(file, "rb", buffering=0) as stream:
            content = read_whole(stream.fileno(), FILE_BYTES_MAX)
    except OSError as error:
        messages.alert(f"cannot open configuration file '{file}': {error.strerror}")
        return
    if len(content) > FILE_BYTES_MAX:
        messages.alert(f"configuration file '{file}' is larger than {FILE_BYTES_MAX} bytes")
        return
    yield from _Filter(file, environment, messages).run(content.decode(errors="surrogateescape"))


class _Filter:
    """The open `.if` blocks of one file."""

    def __init__(
        self, file: str, environment: MutableMapping[str, str], messages: Messages
    ) -> None:
        self._file = file
        self._environment = environment
        self._messages = messages
        self._frames: list[_Frame] = []

    def run(self, content: str) -> Iterator[SourceLine]:
        lines = content.split("\n")
        for number, text in enumerate(lines, start=1):
            origin = Origin(self._file, number)
            if number == len(lines) and text:
                self._messages.alert("last line has no line end: is the file cut off?", origin)
            unset: list[tuple[int, str]] = []
            try:
                words = self._split(text, number, unset)
                if words and words[0] and not self._directive(words, origin) and self._counts:
                    yield SourceLine(origin, words, tuple(unset))
            except ConfigError as error:
                self._messages.alert(str(error), origin)
        for frame in self._frames:
            self._messages.alert("'.if' without '.endif'", frame.origin)

    @property
    def _counts(self) -> bool:
        # a block inside one that is not in force is DONE, so the innermost decides
        return not self._frames or self._frames[-1].state is Block.TAKEN

    def _split(self, text: str, number: int, unset: list[tuple[int, str]]) -> tuple[str, ...]:
        """The words of a line; () for a line that is not in force, unless it is a directive."""
        if not self._counts and not text.lstrip().startswith("."):
            return ()
        pseudo = {".FILE": self._file, ".LINE": str(number)}
        return split_line(text, ChainMap(pseudo, self._environment), unset)

    def _directive(self, words: tuple[str, ...], origin: Origin) -> bool:
        """Act on `.if`, `.notice` and the like; False for an ordinary line."""
        name = words[0]
        # HAProxy evaluates the joined words of a condition, without their quotes
        text = " ".join(words[1:])
        if name == ".if":
            self._open(text, origin)
        elif name in (".elif", ".else"):
            self._branch(name, text)
        elif name == ".endif":
            self._expect_nothing(name, text)
            if not self._frames:
                raise ConfigError("'.endif' without '.if'")
            self._frames.pop()
        elif name in _SAYING:
            if self._counts:
                self._messages.add(_SAYING[name], f"'{words[1] if words[1:] else ''}'", origin)
        else:
            return False
        return True

    def _open(self, text: str, origin: Origin) -> None:
        if len(self._frames) >= NESTED_IF_MAX:
            raise ConfigError(f"more than {NESTED_IF_MAX} '.if' inside each other")
        if not self._counts:
            self._frames.append(_Frame(Block.DONE, origin))
            return
        self._frames.append(_Frame(Block.DONE, origin))  # the state after an error in the condition
        self._frames[-1].state = self._decide(text)

    def _branch(self, name: str, text: str) -> None:
        if not self._frames:
            raise ConfigError(f"'{name}' without '.if'")
        frame = self._frames[-1]
        if frame.after_else:
            raise ConfigError(f"'{name}' after '.else'")
        if name == ".else":
            self._expect_nothing(name, text)
            frame.after_else = True
        if frame.state is not Block.WAITING:
            frame.state = Block.DONE
        elif name == ".else":
            frame.state = Block.TAKEN
        else:
            frame.state = Block.DONE
            frame.state = self._decide(text)

    def _decide(self, text: str) -> Block:
        return Block.TAKEN if condition.evaluate(text, self._environment) else Block.WAITING

    def _expect_nothing(self, name: str, text: str) -> None:
        if text:
            raise ConfigError(f"'{name}' takes no argument, not '{text}'")


_SAYING = {
    ".alert": Severity.ALERT,
    ".warning": Severity.WARNING,
    ".notice": Severity.NOTICE,
    ".diag": Severity.DIAG,
}
