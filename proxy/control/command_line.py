"""One conversation on a stats socket: level, modes, and finding the command of a line.

A command is the entry with the most words that begin the line. Knows no socket: text in, pieces of
text out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import ClassVar

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms
from proxy.control.caller import CALLER
from proxy.control.command import (
    MODES,
    Answer,
    Command,
    CommandError,
    CommandTable,
    Feedback,
    Level,
    Payload,
    Piece,
    split_commands,
    split_words,
)
from proxy.control.limits import COMMANDS_MAX
from shm.log_level import LogLevel

LEVEL_NAMES = {"user": Level.USER, "operator": Level.OPERATOR, "admin": Level.ADMIN}
PROMPT = "> "
UNKNOWN = "Unknown command. Please enter one of the following commands only:"
UNKNOWN_BUT = "Unknown command, but maybe one of the following ones is a better match:"
HELP = "The following commands are valid at this level:"

OWN_WORDS_MAX = 3  # of a command of the conversation itself
SEVERITY_FORMS = ("none", "number", "string")


class CommandLine:
    """The state of one conversation; `commands` are those of all families.

    The commands of the conversation itself are made when one is asked for.
    """

    _own_words: ClassVar[dict[type[CommandLine], frozenset[tuple[str, ...]]]] = {}

    def __init__(
        self,
        commands: CommandTable,
        level: Level,
        timeout_ms: int = 0,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`note` is told each order that was obeyed: of which client, what it has changed."""
        self.level = level
        self.note = note
        self.timeout_ms = timeout_ms  # for each wait of the conversation
        self.interactive = False
        self.ended = False
        self.severity = "none"  # one of SEVERITY_FORMS
        self.modes: set[str] = set()  # those of MODES that are on
        self._families = commands
        known = self._own_words.get(type(self))
        self._is_own = frozenset(each.words for each in self._table) if known is None else known
        self._own_words[type(self)] = self._is_own

    @cached_property
    def _table(self) -> CommandTable:
        """What the conversation itself answers to."""
        return CommandTable([*self.own(), *self.closing_commands])

    @cached_property
    def commands(self) -> list[Command]:
        """All but the closing ones, in the order of the help list."""
        return sorted([*self._families, *self.own()], key=lambda command: command.words)

    @cached_property
    def closing_commands(self) -> list[Command]:
        """What ends the help list."""
        lowest = Level.USER
        return [
            Command(("help",), "[<command>]", "list matching or all commands", lowest, self.help),
            Command(("prompt",), "", "toggle interactive mode", lowest, self.prompt),
            Command(("quit",), "", "end the connection", lowest, self.quit),
        ]

    def own(self) -> list[Command]:
        """What changes or shows the conversation itself."""
        user, operator, admin = Level.USER, Level.OPERATOR, Level.ADMIN
        return [
            Command(("echo",), "<text>", "print a text", user, self.echo),
            Command(("operator",), "", "lower the level to operator", operator, self.operator),
            Command(
                ("set", "severity-output"),
                "[none|number|string]",
                "severities in front of answers",
                user,
                self.set_severity,
            ),
            Command(
                ("set", "timeout"),
                "cli <delay>",
                "how long this connection may be silent",
                user,
                self.set_timeout,
            ),
            Command(
                ("show", "cli", "level"), "", "level of this connection", user, self.show_level
            ),
            Command(("user",), "", "lower the level to user", user, self.user),
            *(
                Command((mode,), "[on|off]", "a mode", admin, partial(self.mode, mode), hidden=True)
                for mode in MODES
            ),
        ]

    def answers(self, line: str, payload: str | None = None) -> Iterator[Piece]:
        """The answers to all commands of a line, each ended by an empty line.

        The last command has the payload, instead of its last word.
        """
        commands = split_commands(line)
        if len(commands) > COMMANDS_MAX:
            yield f"Too many commands (at most {COMMANDS_MAX}).\n\n"
            return
        for number, command in enumerate(commands, start=1):
            yield from self.whole(command, payload if number == len(commands) else None)
            if self.ended:
                return

    def whole(self, text: str, payload: str | None) -> Iterator[Piece]:
        """The answer to one command, with its end."""
        yield from self.answer(text, payload)
        if not self.ended:
            yield "\n" + (PROMPT if self.interactive else "")

    def answer(self, text: str, payload: str | None = None) -> Iterator[Piece]:
        """The answer to one command."""
        words = split_words(text)
        command = self.find(words)
        caller = CALLER.get()
        if caller is not None:
            caller.changes.clear()
        if payload is not None:
            words.pop()
            if command is not None and command.takes_payload:
                words.append(Payload(payload))
        if command is None:
            yield from self.unknown(words)
        elif command.mode and command.mode not in self.modes:
            kind = command.mode.removesuffix("-mode")
            text = f"This command is restricted to {kind} mode only."
            yield self.told(Feedback(text, LogLevel.ERR))
        elif command.level > self.level:
            yield self.told(Feedback("Permission denied", LogLevel.ERR))
        else:
            try:
                for piece in command.run(words[len(command.words) :], self.level):
                    yield self.told(piece) if isinstance(piece, Feedback) else piece
                if command.is_order and caller is not None:
                    self.note(caller.told(text.strip()))
            except CommandError as error:
                yield self.told(Feedback(str(error), error.level))
            except BlockingIOError:
                yield "The records of a server do not hold still; please try again.\n"

    def told(self, feedback: Feedback) -> str:
        """Feedback with its severity in front, where that is wanted."""
        if self.severity == "none":
            return feedback
        level = feedback.level
        return f"[{level.value if self.severity == 'number' else level.name.lower()}]: {feedback}"

    def find(self, words: list[str]) -> Command | None:
        """The command that a line begins with, the one with the most words."""
        found = self._families.find(words)
        begun = {tuple(words[:length]) for length in range(1, OWN_WORDS_MAX + 1)}
        own = self._table.find(words) if not begun.isdisjoint(self._is_own) else None
        if found is None or own is None:
            return found or own
        return found if len(found.words) >= len(own.words) else own

    @property
    def shown(self) -> list[Command]:
        """The commands of the help list."""
        return [command for command in self.commands if not command.hidden]

    def similar(self, words: list[str]) -> list[Command]:
        """Commands that begin with the same words, as many as possible."""
        for length in range(len(words), 0, -1):
            found = [c for c in self.shown if list(c.words[:length]) == words[:length]]
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
        yield self.told(Feedback(UNKNOWN_BUT if similar else UNKNOWN))
        yield from self.listing(similar or self.shown)

    def help(self, words: list[str], _level: Level) -> Answer:
        """`help [<command>]`."""
        similar = self.similar(words)
        begun = self.find(words) or any(list(c.words[: len(words)]) == words for c in similar)
        missing = "" if begun or not words else f"No command begins with '{' '.join(words)}'. "
        return [Feedback(missing + HELP), *self.listing(similar or self.shown)]

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
        return [Feedback(self.level.name.lower())]

    def operator(self, _words: list[str], _level: Level) -> Answer:
        """`operator`: never back up."""
        self.level = min(self.level, Level.OPERATOR)
        self.modes.clear()
        return []

    def user(self, _words: list[str], _level: Level) -> Answer:
        """`user`: never back up."""
        self.level = Level.USER
        self.modes.clear()
        return []

    def mode(self, mode: str, words: list[str], _level: Level) -> Answer:
        """`expert-mode [on|off]`, `experimental-mode [on|off]`."""
        if not words:
            return [Feedback(f"{mode} is {'ON' if mode in self.modes else 'OFF'}")]
        if words[0] not in ("on", "off"):
            raise CommandError(f"'{mode}' expects 'on' or 'off'.")
        (self.modes.add if words[0] == "on" else self.modes.discard)(mode)
        return []

    def echo(self, words: list[str], _level: Level) -> Answer:
        """`echo <text>` (management manual 3.1, section 9.3)."""
        return [Feedback(" ".join(words))]

    def set_severity(self, words: list[str], _level: Level) -> Answer:
        """`set severity-output none|number|string`."""
        if "".join(words[:1]) not in SEVERITY_FORMS:
            raise CommandError("one of 'none', 'number', 'string' is a required argument")
        self.severity = words[0]
        return []

    def set_timeout(self, words: list[str], _level: Level) -> Answer:
        """`set timeout cli <delay>`, seconds without a unit."""
        if words[:1] != ["cli"]:
            raise CommandError("'set timeout' only supports 'cli'.")
        if not words[1:]:
            raise CommandError("Expects an integer value.")
        try:
            timeout_ms = parse_time_ms(words[1], lambda _text: None, "s")
        except ConfigError:
            timeout_ms = 0
        if timeout_ms <= 0:
            raise CommandError("Invalid timeout value.")
        self.timeout_ms = timeout_ms
        return []
