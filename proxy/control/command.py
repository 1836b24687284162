"""What a command of the stats socket is: words, level, help, and a function that answers.

An answer is an iterable of text pieces, rendered while it is sent, so that a slow reader costs one
piece and not the whole. A piece may be a `Pause` too, something to wait for before the next piece
is asked for. Knows neither sockets nor any single command.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeAlias

from proxy.config.model import Proxy, Server, Settings


class Level(enum.IntEnum):
    """What a connection may do; each level includes those below (manual 3.1, `stats socket`)."""

    USER = 0
    OPERATOR = 1
    ADMIN = 2


class CommandError(Exception):
    """The command cannot be done; the text is the whole answer."""


class Pause(Protocol):
    """Something to wait for before the answer goes on."""

    async def over(self) -> None:
        """Return when it has happened, or has taken too long."""


Piece: TypeAlias = str | Pause
Answer: TypeAlias = Iterable[Piece]
Run: TypeAlias = Callable[[list[str], Level], Answer]


class Command(NamedTuple):
    """One command: its words, the rest of its usage, what it does, who may, and how."""

    words: tuple[str, ...]
    arguments: str
    description: str
    level: Level
    run: Run

    @property
    def help_line(self) -> str:
        """Its line in the help list."""
        usage = " ".join((*self.words, self.arguments)).strip()
        return f"  {usage:<40}: {self.description}\n"


def split_words(line: str) -> list[str]:
    r"""Words of a command line; a backslash takes the next character as it is."""
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


def split_commands(line: str) -> list[str]:
    r"""Commands of a line, separated by `;` (`\;` is not a separator)."""
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


def find_backend(settings: Settings, word: str) -> Proxy | None:
    """A backend by name or by `#id`."""
    for proxy in settings.backends:
        if proxy.disabled:
            continue
        if proxy.name == word or (word.startswith("#") and word[1:] == str(proxy.id)):
            return proxy
    return None


def find_server(settings: Settings, word: str) -> tuple[Proxy, Server]:
    """A server written `backend/server`, each by name or `#id`; raises CommandError."""
    backend_word, separator, server_word = word.partition("/")
    if not separator or not backend_word or not server_word:
        raise CommandError("Require 'backend/server'.")
    proxy = find_backend(settings, backend_word)
    if proxy is None:
        raise CommandError("No such backend.")
    for server in proxy.servers:
        if server.name == server_word or (
            server_word.startswith("#") and server_word[1:] == str(server.id)
        ):
            return proxy, server
    raise CommandError("No such server.")
