"""One conversation on a stats socket: level, interactive mode, and finding the command of a line.

A command is the entry with the most words that begin the line. Knows no socket: text in, pieces of
text out.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.command import (
    Answer,
    Command,
    CommandError,
    Level,
    Payload,
    Piece,
    split_commands,
    split_words,
)
from proxy.control.limits import COMMANDS_MAX

LEVEL_NAMES = {"user": Level.USER, "operator": Level.OPERATOR, "admin": Level.ADMIN}
PROMPT = "> "
UNKNOWN = "Unknown command. Please enter one of the following commands only:\n"
UNKNOWN_BUT = "Unknown command, but maybe one of the following ones is a better match:\n"
HELP = "The following commands are valid at this level:\n"


class CommandLine:
    """The state of one conversation; `commands` are those of all families."""

    def __init__(self, commands: list[Command], level: Level) -> None:
        self.level = level
        self.interactive = False
        self.ended = False
        lowest = Level.USER
        own = [
            Command(("help",), "[<command>]", "list matching or all commands", lowest, self.help),
            Command(("prompt",), "", "toggle interactive mode", lowest, self.prompt),
            Command(("quit",), "", "end the connection", lowest, self.quit),
            Command(
                ("show", "cli", "level"), "", "level of this connection", lowest, self.show_level
            ),
            Command(
                ("operator",), "", "lower the level to operator", Level.OPERATOR, self.operator
            ),
            Command(("user",), "", "lower the level to user", lowest, self.user),
        ]
        self.closing_commands = own[:3]
        self.commands = sorted([*commands, *own[3:]], key=lambda command: command.words)

    def answers(self, line: str, payload: str | None = None) -> Iterator[Piece]:
        """The answers to all commands of a line, each ended by an empty line.

        The last command has the payload, instead of its last word.
        """
        commands = split_commands(line)
        if len(commands) > COMMANDS_MAX:
            yield f"Too many commands (at most {COMMANDS_MAX}).\n\n"
            return
        for number, command in enumerate(commands, start=1):
            yield from self.answer(command, payload if number == len(commands) else None)
            if self.ended:
                return
            yield "\n" + (PROMPT if self.interactive else "")

    def answer(self, text: str, payload: str | None = None) -> Iterator[Piece]:
        """The answer to one command."""
        words = split_words(text)
        command = self.find(words)
        if payload is not None:
            words.pop()
            if command is not None and command.takes_payload:
                words.append(Payload(payload))
        if command is None:
            yield from self.unknown(words)
        elif command.level > self.level:
            yield "Permission denied\n"
        else:
            try:
                yield from command.run(words[len(command.words) :], self.level)
            except CommandError as error:
                yield f"{error}\n"
            except BlockingIOError:
                yield "The records of a server do not hold still; please try again.\n"

    def find(self, words: list[str]) -> Command | None:
        """The command that a line begins with."""
        candidates = [
            command
            for command in (*self.commands, *self.closing_commands)
            if tuple(words[: len(command.words)]) == command.words
        ]
        return max(candidates, key=lambda command: len(command.words), default=None)

    def similar(self, words: list[str]) -> list[Command]:
        """Commands that begin with the same words, as many as possible."""
        for length in range(len(words), 0, -1):
            found = [c for c in self.commands if list(c.words[:length]) == words[:length]]
            if found:
                return found
        return []

    def listing(self, commands: list[Command]) -> Iterator[str]:
        """The help lines of these commands, then of those that always work."""
        for command in (*commands, *self.closing_commands):
            yield command.help_line

    def unknown(self, words: list[str]) -> Iterator[str]:
        """What there is instead of an unknown command."""
        similar = self.similar(words)
        yield UNKNOWN_BUT if similar else UNKNOWN
        yield from self.listing(similar or self.commands)

    def help(self, words: list[str], _level: Level) -> Answer:
        """`help [<command>]`."""
        return [HELP, *self.listing(self.similar(words) or self.commands)]

    def prompt(self, _words: list[str], _level: Level) -> Answer:
        """`prompt`: answers are followed by a prompt, and the connection stays open."""
        self.interactive = not self.interactive
        return []

    def quit(self, _words: list[str], _level: Level) -> Answer:
        """`quit`: the connection ends."""
        self.ended = True
        return []

    def show_level(self, _words: list[str], _level: Level) -> Answer:
        """`show cli level`."""
        return [f"{self.level.name.lower()}\n"]

    def operator(self, _words: list[str], _level: Level) -> Answer:
        """`operator`: never back up."""
        self.level = min(self.level, Level.OPERATOR)
        return []

    def user(self, _words: list[str], _level: Level) -> Answer:
        """`user`: never back up."""
        self.level = Level.USER
        return []
