"""A conversation with the master CLI: prefixes, switches, and the commands of the master itself.

A command goes to the destination of the conversation, at first the master, unless it begins with
`@`: `@1` is the generation that runs, `@!<pid>` that of a process, `@`, `@0` and `@master` are the
master. A prefix alone switches the destination (management manual 2.6, section 9.4.1). `prompt`,
`quit`, levels and modes are of the conversation, whatever its destination. Reload commands are
those of the manual of 3.2, section 9.4.1.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from proxy import __version__
from proxy.control.call import RUNNING, MasterCall
from proxy.control.caller import Caller
from proxy.control.command import (
    MODES,
    Answer,
    Command,
    CommandError,
    CommandTable,
    Feedback,
    Level,
    Piece,
    split_words,
)
from proxy.control.command_line import CommandLine
from proxy.master.orders import ReloadOrders
from proxy.master.relay import CallStream, NoSuchProcessError, relayed

PID_DIGITS = re.compile(r"[0-9]{1,10}")
MASTER_NAMES = ("@", "@0", "@master")
FLAGS = {"experimental-mode": "x", "expert-mode": "e"}  # of a prompt, in this order
WAIT, FOLLOW = ("wait",), ("show", "events")  # of control, which may go on for hours
LATE = "No reload was done in time: the log says what it waits for."


class Destination(NamedTuple):
    """Where commands go: `pid` as in a MasterCall, None the master; its names."""

    pid: int | None
    prefix: str
    shown: str


MASTER = Destination(None, "@master", "master")


def destination_of(prefix: str) -> Destination | None:
    """What a prefix names; None: nothing."""
    if prefix in MASTER_NAMES:
        return MASTER
    if prefix == "@1":
        return Destination(RUNNING, prefix, "1")
    digits = prefix.removeprefix("@!")
    if digits != prefix and PID_DIGITS.fullmatch(digits) and int(digits) != RUNNING:
        return Destination(int(digits), prefix, digits)
    return None


class MasterLine(CommandLine):
    """The state of one conversation."""

    def __init__(
        self,
        level: Level,
        timeout_ms: int,
        orders: ReloadOrders,
        calls: socket.socket,
        *,
        caller: Caller,
        note: Callable[[str], None],
    ) -> None:
        """`note` is told each reload that the `caller` orders."""
        self._orders = orders
        self._calls = calls
        self._caller = caller
        self._note_reload = note
        self._destination = MASTER
        self._complete = False  # the answer has its own end
        super().__init__(CommandTable(()), level, timeout_ms)

    def own(self) -> list[Command]:
        """All commands of the master."""
        user, operator = Level.USER, Level.OPERATOR
        targets = (
            ("@!<pid>", "send a command to the generation of this process"),
            ("@<relative pid>", "send a command to a generation: 1, the one that runs"),
            ("@master", "send a command to the master"),
        )
        reloads = (
            ("reload", "reload, and say how it went", False),
            ("hard-reload", "reload, and end the sessions of former generations", True),
        )
        severity = ("set", "severity-output")  # millrace show begins with it
        wanted = {("operator",), ("user",), ("show", "cli", "level"), *((each,) for each in MODES)}
        return [
            *(each for each in super().own() if each.words in wanted),
            *(each._replace(hidden=True) for each in super().own() if each.words == severity),
            *(Command((word,), "", text, user, lambda _w, _l: []) for word, text in targets),
            *(
                Command((word,), "", text, operator, partial(self.reload, hard))
                for word, text, hard in reloads
            ),
            Command(
                ("show", "proc"), "[debug]", "generations and processes", user, self.show_processes
            ),
            Command(
                ("show", "startup-logs"),
                "",
                "what the last start or reload said",
                operator,
                self.show_startup,
            ),
            Command(("show", "version"), "", "version of the program", user, self.show_version),
        ]

    def whole(self, text: str, payload: str | None) -> Iterator[Piece]:
        """The answer to one command, wherever it goes, with the prompt."""
        yield from self._one(text, payload)
        if self.interactive and not self.ended:
            yield self.prompt_text

    def _one(self, text: str, payload: str | None) -> Iterator[Piece]:
        """The answer to one command, up to the prompt."""
        text = text.lstrip()
        prefix = text.split(maxsplit=1)[0] if text.startswith("@") else ""
        destination = destination_of(prefix) if prefix else self._destination
        rest = text[len(prefix) :].lstrip()
        try:
            if destination is None:
                raise NoSuchProcessError
            if prefix and not rest:
                self._destination = destination
                if destination is not MASTER:
                    yield from self._call(destination, b"")
            elif not prefix and self._is_of_conversation(rest):
                if self.ended and self.interactive:
                    yield self.prompt_text
            elif destination is MASTER:
                self._complete = False
                yield from self.answer(rest, payload)
                if not (self.ended or self._complete):
                    yield "\n"
            else:
                yield from self._call(destination, _with_payload(rest, payload))
        except NoSuchProcessError:
            named = prefix if destination is None else destination.prefix
            yield f"Can't find the target PID matching the prefix '{named}'\n"
            self.ended = True
        except CommandError as error:
            yield f"{error}\n\n"

    def _is_of_conversation(self, text: str) -> bool:
        """Whether a command was one of the conversation; it is done, and says nothing."""
        words = split_words(text)
        first = words[0] if words else ""
        if first in MODES:
            if self.level is Level.ADMIN and words[1:2] in (["on"], ["off"]):
                self.mode(first, words[1:2], self.level)
            return True
        done = {
            "prompt": self.prompt,
            "quit": self.quit,
            "operator": self.operator,
            "user": self.user,
        }.get(first)
        if done is not None:
            done(words[1:], self.level)
        return done is not None

    def _call(self, destination: Destination, text: bytes) -> Iterator[Piece]:
        """The answer of a generation; raises NoSuchProcessError, CommandError."""
        assert destination.pid is not None, "the master calls itself"
        modes = tuple(mode for mode in MODES if mode in self.modes)
        call = MasterCall(destination.pid, self.level, modes, self._caller.name)
        words = tuple(split_words(text.decode(errors="surrogateescape"))[:2])
        idle = words[:1] == WAIT or words == FOLLOW
        stream = CallStream(self._calls, call, text, idle=idle)
        yield from relayed(stream)
        if destination.pid == self._destination.pid:
            self._destination = destination._replace(shown=str(stream.pid))

    @property
    def prompt_text(self) -> str:
        """The prompt: where commands go, and the modes that are on."""
        shown = self._destination.shown
        if self._destination is MASTER and not self._orders.outcome().succeeded:
            shown = "master[ReloadFailed]"
        flags = "".join(flag for mode, flag in FLAGS.items() if mode in self.modes)
        return f"{shown}({flags})> " if flags else f"{shown}> "

    def reload(self, hard: bool, _words: list[str], _level: Level) -> Iterator[Piece]:
        """`reload`, `hard-reload`: the last command of a conversation."""
        self._note_reload(self._caller.told("hard-reload" if hard else "reload"))
        reloaded = self._orders.order(hard=hard)
        yield reloaded
        self.ended = True
        outcome = reloaded.outcome
        if outcome is None:
            yield f"Success=0\n--\n{LATE}\n"
        else:
            yield f"Success={int(outcome.succeeded)}\n--\n{outcome.messages}"

    def show_startup(self, _words: list[str], _level: Level) -> Answer:
        """`show startup-logs`: of the last start or reload, whether it succeeded or not."""
        return [self._orders.outcome().messages]

    def show_processes(self, words: list[str], _level: Level) -> Iterator[Piece]:
        """`show proc [debug]`: control of the generation that runs knows all of them."""
        self._complete = True
        asked = " ".join(("show proc", *words[:1]))
        yield from self._call(Destination(RUNNING, "@1", "1"), f"{asked}\n".encode())

    def show_version(self, _words: list[str], _level: Level) -> Answer:
        """`show version`."""
        return [Feedback(__version__)]


def _with_payload(text: str, payload: str | None) -> bytes:
    """A command as it goes over a stream."""
    more = "" if payload is None else f"{payload}\n\n" if payload else "\n"
    return f"{text}\n{more}".encode(errors="surrogateescape")
