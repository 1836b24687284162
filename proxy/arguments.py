"""The command line, as scripts and service files drive HAProxy (manual of management, section 3).

Pure: argv in, a struct or an error out; it opens nothing and prints nothing. Which flags there are
says proxy/flags/table.py. Flags without effect are in `idle_flags`, each with the reason, which is
told at the start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from proxy.flags.table import (
    AID,
    ANSWER_SECONDS,
    COMMAND_OF,
    FLAG_OF,
    RELOAD_SECONDS,
    RELOADS,
    Flag,
    Takes,
)

NUMBER_MAX = 2_147_483_647
PIDS_MAX = 10_000


class Arguments(msgspec.Struct, frozen=True):
    """The command line, understood. None and empty: not given."""

    files: tuple[str, ...] = ()
    help: bool = False  # -h, --help
    check: bool = False
    against: str | None = None  # the stats socket of the program to compare with
    condition: str | None = None
    version: str = ""  # the flag: -v, -vv, -vq, -vqb, -vqs
    verbose: bool = False
    quiet: bool = False
    debug: bool = False  # -d
    foreground: bool = False  # -db, -d: whatever the file says
    daemon: bool = False
    master_worker: bool = False  # -W and -Ws
    notify_systemd: bool = False  # -Ws
    master_sockets: tuple[str, ...] = ()  # -S
    pidfile: str | None = None
    folder: str | None = None  # -C
    local_peer: str | None = None
    maxconn: int | None = None  # -n
    proxy_maxconn: int | None = None  # -N
    memory_mb: int | None = None  # -m
    ipv4_only: bool = False  # -4
    splice: bool = True  # -dS turns it off
    idle_flags: tuple[tuple[str, str], ...] = ()  # accepted without effect, and why
    finish_pids: tuple[int, ...] = ()  # -sf
    end_pids: tuple[int, ...] = ()  # -st
    old_socket: str | None = None  # -x
    warnings_fatal: bool = False  # -dW
    diagnose: bool = False  # -dD
    ignore_unresolved: bool = False  # -dr
    server_verify: bool = True  # -dV turns it off
    command: tuple[str, ...] = ()  # `ping`, `reload`, or the words for a stats socket
    socket: str | None = None  # -S: the stats socket, or master, that a command asks
    timeout_seconds: int = ANSWER_SECONDS

    @property
    def serves(self) -> bool:
        """Whether they start the program, and not something that ends by itself."""
        asks = self.command or self.help or self.version or self.condition is not None
        return not (asks or self.check or self.against is not None)


class UsageError(msgspec.Struct, frozen=True):
    """A command line that makes no sense: what is wrong with it. Exit status 1."""

    text: str


class _WrongUsageError(Exception):
    """Carries the text of a UsageError out of the parser."""


def parse(argv: Sequence[str]) -> Arguments | UsageError:
    """Understand the words after the program's name."""
    parser = _ArgumentParser(argv)
    try:
        parser.run()
    except _WrongUsageError as error:
        return UsageError(str(error))
    arguments = msgspec.convert(parser.values, Arguments)
    told = arguments.help or arguments.version
    if not (told or arguments.files or arguments.command or arguments.condition is not None):
        return UsageError("no configuration file: give one with -f")
    return arguments


def _no_command(word: str) -> str:
    """What is said of a word that is none, with what to write instead."""
    first = "".join(word.split()[:1])
    if first != word and first in COMMAND_OF:
        return f"'{word}' is one word, and no command: write it without quotes"
    from difflib import get_close_matches  # noqa: PLC0415 - most command lines are right

    near = get_close_matches(word, COMMAND_OF, n=1)
    hint = f"; did you mean '{near[0]}' maybe ?" if near else ""
    return f"'{word}' is no command; a file needs -f or -- before it{hint}"


class _ArgumentParser:
    """The words not yet read, and what was understood so far."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.values: dict[str, object] = {}
        self._words = list(argv)
        self._files: list[str] = []
        self._sockets: list[str] = []
        self._idle: list[tuple[str, str]] = []
        self._given: list[str] = []  # flags

    def run(self) -> None:
        while self._words:
            word = self._words.pop(0)
            if word == "--":
                self._files += self._words
                break
            if word in COMMAND_OF:
                self._command((word, *(self._subjects() if word == "report" else self._words)))
                break
            self._flag(word)
        if "command" not in self.values:
            self._serving()
        self.values["files"] = tuple(self._files)
        self.values["idle_flags"] = tuple(self._idle)

    def _subjects(self) -> list[str]:
        """The words behind `report` that are neither flags nor theirs."""
        found = []
        while self._words:
            word = self._words.pop(0)
            if word.startswith("-") and word not in ("-h", "--help"):
                self._flag(word)
            else:
                found.append(word)
        return found

    def _command(self, words: tuple[str, ...]) -> None:
        allowed = {"-h", "--help", *COMMAND_OF[words[0]].flags}
        wrong = next((flag for flag in self._given if flag not in allowed), None)
        if wrong is not None:
            raise _WrongUsageError(f"'{wrong}' is not for the command '{words[0]}'")
        if words[1:] in (("-h",), ("--help",)):
            self.values["help"] = True
        elif words[0] in (*RELOADS, "ping", "demo") and words[1:]:
            instead = f": options precede '{words[0]}'" if words[1].startswith("-") else ""
            raise _WrongUsageError(
                f"nothing may follow '{words[0]}', as '{words[1]}' does{instead}"
            )
        elif words[0] == "report" and words[2:]:
            raise _WrongUsageError(f"one socket or pid may follow 'report', not '{words[2]}', too")
        if self.values.get("timeout_seconds") == 0:  # a socket would take it for "do not wait"
            raise _WrongUsageError("--timeout expects at least 1 second, not '0'")
        if words[0] in RELOADS:
            self.values.setdefault("timeout_seconds", RELOAD_SECONDS)
        self.values["command"] = words
        self.values["socket"] = self._sockets[-1] if self._sockets else None

    def _serving(self) -> None:
        """What is for commands alone."""
        if "timeout_seconds" in self.values:
            raise _WrongUsageError("--timeout is for commands, as 'show'")
        if "against" in self.values:
            self.values["check"] = True
        self.values["master_sockets"] = tuple(self._sockets)

    def _flag(self, word: str) -> None:
        flag = FLAG_OF.get(word)
        if flag is None and word.startswith("-d"):  # HAProxy looks at no more
            flag = FLAG_OF.get(word[:3], Flag((word,), "", idle=AID))
        if flag is None:
            if word.startswith("-"):
                raise _WrongUsageError(f"unknown option: '{word}'")
            raise _WrongUsageError(_no_command(word))
        self._given.append(word)
        if flag.takes is Takes.NOTHING:
            if flag.idle:
                self._idle.append((word, flag.idle))
            self.values.update(flag.sets)
            return
        value = self._value(word, flag.takes)
        if flag.idle:
            self._idle.append((f"{word} {value}", flag.idle))
        elif flag.takes is Takes.CONFIGURATION:
            self._files.append(str(value))
        elif flag.takes is Takes.SOCKET:
            self._sockets.append(str(value))
        else:
            self.values[flag.field] = value

    def _value(self, word: str, takes: Takes) -> object:
        if takes is Takes.PIDS:
            return self._pids()
        if takes is Takes.NUMBER:
            return self._number(word)
        named = takes in (Takes.CONFIGURATION, Takes.SOCKET)
        return self._argument(word, takes.value if named else Takes.TEXT.value)

    def _argument(self, flag: str, what: str) -> str:
        if not self._words:
            raise _WrongUsageError(f"{flag} expects {what}")
        return self._words.pop(0)

    def _number(self, flag: str) -> int:
        text = self._argument(flag, "a number")
        if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > NUMBER_MAX:
            raise _WrongUsageError(f"{flag} expects a number up to {NUMBER_MAX}, not '{text}'")
        return int(text)

    def _pids(self) -> tuple[int, ...]:
        """The numbers that follow; there may be none, as a first start has no older process."""
        pids: list[int] = []
        while self._words and re.fullmatch(r"[0-9]{1,10}", self._words[0]):
            pids.append(int(self._words.pop(0)))
        if any(not 0 < pid <= NUMBER_MAX for pid in pids) or len(pids) > PIDS_MAX:
            raise _WrongUsageError("-sf and -st expect process ids greater than 0")
        return tuple(pids)
