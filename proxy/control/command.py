"""What a command of the stats socket is: words, level, help, and a function that answers.

An answer is an iterable of text pieces, rendered while it is sent, so that a slow reader costs one
piece and not the whole. After some pieces everything else of the process has its turn, so a piece
is what one row costs, and work without text yields an empty one. A piece may be a `Pause` too,
something to wait for before the next piece is asked for, or a `Flush`. Knows neither sockets nor
any single command.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, Self, TypeAlias

from shm.log_level import LogLevel

EXPERIMENTAL = "experimental-mode"
MODES = ("expert-mode", EXPERIMENTAL)


class Level(enum.IntEnum):
    """What a connection may do; each level includes those below (manual 3.1, `stats socket`)."""

    USER = 0
    OPERATOR = 1
    ADMIN = 2


class CommandError(Exception):
    """The command cannot be done; the text is the whole answer."""

    level = LogLevel.ERR  # what `set severity-output` shows


class CommandWarningError(CommandError):
    """The same where HAProxy calls it a warning."""

    level = LogLevel.WARNING


class Feedback(str):
    """A piece that says how an order went; `set severity-output` puts its level before it."""

    __slots__ = ("level",)

    level: LogLevel

    def __new__(cls, text: str, level: LogLevel = LogLevel.INFO) -> Self:
        """A text without line end, as one line."""
        made = super().__new__(cls, f"{text}\n")
        made.level = level
        return made


class Flush:
    """Before it goes on the client gets what there is."""


FLUSH = Flush()


class Pause(Protocol):
    """Something to wait for before the answer goes on."""

    async def over(self) -> None:
        """Return when it has happened, or has taken too long."""


class Vigil(Pause):
    """A pause that changes nothing: it is given up when the client leaves."""

    idle = False  # whether the client gives up its place where others want one


Piece: TypeAlias = str | Flush | Pause
Answer: TypeAlias = Iterable[Piece]
Run: TypeAlias = Callable[[list[str], Level], Answer]


class CommandTable:
    """Commands, found by the words that a line begins with. Made once for all conversations."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._by_words = {command.words: command for command in commands}
        self._longest = max(map(len, self._by_words), default=0)

    def __iter__(self) -> Iterator[Command]:
        """All of them."""
        return iter(self._by_words.values())

    def find(self, words: list[str]) -> Command | None:
        """The command with the most words that the line begins with."""
        for length in range(min(len(words), self._longest), 0, -1):
            found = self._by_words.get(tuple(words[:length]))
            if found is not None:
                return found
        return None


class Payload(str):
    """What followed a line that ends in `<<`, as the last word of a command that takes it."""

    __slots__ = ()


ASKING = frozenset({"get", "operator", "show", "user", "wait", *MODES})  # what changes nothing
_WORD = re.compile(r"[^ \t\r\n]+")
_PAYLOAD = re.compile(r"[ \t]<<[ \t]*$")
DATA = frozenset({"acl", "map", "table"})


class Command(NamedTuple):
    """One command: its words, the rest of its usage, what it does, who may, and how."""

    words: tuple[str, ...]
    arguments: str
    description: str
    level: Level
    run: Run
    takes_payload: bool = False
    hidden: bool = False  # from the help list
    mode: str = ""  # EXPERIMENTAL: only where the conversation has switched it on

    @property
    def is_order(self) -> bool:
        """Whether it changes what others see; entries of lists and tables are data, no orders."""
        changes = self.level > Level.USER and self.words[0] not in ASKING
        changes = changes and self.words[-1] != "help"
        return changes and not DATA.intersection(self.words)

    @property
    def help_line(self) -> str:
        """Its line in the help list."""
        usage = " ".join((*self.words, self.arguments)).strip()
        return f"  {usage:<40}: {self.description}\n"


def split_words(line: str) -> list[str]:
    r"""Words of a command line; a backslash takes the next character as it is."""
    if "\\" not in line:
        return _WORD.findall(line)
    words: list[str] = []
    word: list[str] = []
    escaped = started = False
    for character in line:
        if escaped or character not in "\\ \t\r\n":
            word.append(character)
            started, escaped = True, False
        elif character == "\\":
            escaped = True
        elif started:
            words.append("".join(word))
            word, started = [], False
    if started:
        words.append("".join(word))
    return words


def wants_payload(line: str) -> bool:
    """Whether lines of a payload follow."""
    return "<<" in line and _PAYLOAD.search(line) is not None


def split_commands(line: str) -> list[str]:
    r"""Commands of a line, separated by `;` (`\;` is not a separator)."""
    if ";" not in line:
        return [line]
    commands = [""]
    escaped = False
    for character in line:
        if character == ";" and not escaped:
            commands.append("")
            continue
        escaped = character == "\\" and not escaped
        commands[-1] += character
    if len(commands) > 1 and not commands[-1].strip():
        commands.pop()
    return commands
