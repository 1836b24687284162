"""The command line, as scripts and service files drive HAProxy (manual of management, section 3).

Owns every flag and the usage text. Pure: argv in, a struct or an error out; it opens nothing and
prints nothing. Flags that tune what Millrace does not have are accepted, because programs call
Millrace with HAProxy's arguments and must not notice the difference; `idle_flags` has a reason for
each, which is told at the start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

PROGRAM = "millrace"
NUMBER_MAX = 2_147_483_647
PIDS_MAX = 10_000

USAGE = f"""\
Usage: {PROGRAM} [-f <file|folder>]... [-c] [options] [-- <file>...]
  -f <file|folder>   read this configuration; a folder stands for its *.cfg. May be repeated
  -c                 check the configuration and end: status 0 valid, 1 not, 2 nothing would listen
  -cc '<condition>'  evaluate a condition as in '.if': status 0 true, 1 false, 2 not a condition
  -V                 say more (with -c: that the configuration is valid)
  -q                 say errors only
  -D                 run in the background
  -d, -db            stay in the foreground (-d: say everything)
  -W, -Ws            master-worker mode; -Ws tells systemd when it is ready
  -S <address>[,<option>[,<value>]]...
                     with -W: listen there for commands to the master, with options of a
                     stats socket line (mode, user, group, level)
  -p <file>          write the main process's pid there
  -C <folder>        change to this folder first
  -L <name>          name of this host among its peers (default: the host name)
  -n <number>        limit of connections of the whole process (global maxconn)
  -m <megabytes>     limit of private memory of each process
  -N <number>        limit of connections of each proxy (maxconn)
  -4                 ask DNS and the host for IPv4 addresses only
  -sf <pid>...       ask these processes to finish when this one is ready
  -st <pid>...       end these processes when this one is ready
  -dW                warnings are fatal
  -dD                also say what is only suspicious
  -dr                start even if a server's host name cannot be resolved
  -dS                forward without splice()
  -dV                checks over TLS verify certificates only where a line says so
  -h, --help         this text
  -v, -vv            version; with its build options
  -vq, -vqs, -vqb    nothing but the version, without its suffix, its branch
  -x -d...           accepted without effect; a notice says why

Start here: {PROGRAM} -c -V -f haproxy.cfg   then   {PROGRAM} -f haproxy.cfg
"""

_AID = "it is an aid for those who work on HAProxy"
_EPOLL = "the event loop is always epoll"
# Flag, or its first three characters -> why it changes nothing.
_IDLE = {
    "-x": "no sockets are taken over; both programs listen until -sf ends the old one",
    "-dR": "the workers' sockets share a port by SO_REUSEPORT and cannot do without",
    "-dG": "host names are always found by getaddrinfo",
    "-dI": "no program is started",
    "-de": _EPOLL,
    "-dp": _EPOLL,
    "-dk": _EPOLL,
    "-dZ": "bytes are forwarded by splice() or by one copy; -dS turns splice() off",
    "-dL": "the program's libraries are listed by -vv",
    "-dC": "the configuration is not shown",
    "-dK": "keywords are not listed",
}


class Arguments(msgspec.Struct, frozen=True):
    """The command line, understood. None and empty: not given."""

    files: tuple[str, ...] = ()
    help: bool = False  # -h, --help
    check: bool = False
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
    warnings_fatal: bool = False  # -dW
    diagnose: bool = False  # -dD
    ignore_unresolved: bool = False  # -dr
    server_verify: bool = True  # -dV turns it off


class UsageError(msgspec.Struct, frozen=True):
    """A command line that makes no sense: what is wrong with it. Exit status 1, with USAGE."""

    text: str


class _WrongUsageError(Exception):
    """Carries the text of a UsageError out of the parser."""


_SWITCHES: dict[str, dict[str, object]] = {
    "-h": {"help": True},
    "--help": {"help": True},
    "-c": {"check": True},
    "-V": {"verbose": True, "quiet": False},
    "-q": {"quiet": True, "verbose": False},
    "-d": {"debug": True, "foreground": True},
    "-db": {"foreground": True},
    "-D": {"daemon": True},
    "-W": {"master_worker": True},
    "-Ws": {"master_worker": True, "notify_systemd": True},
    "-4": {"ipv4_only": True},
    **{flag: {"version": flag} for flag in ("-v", "-vv", "-vq", "-vqb", "-vqs")},
    "-dW": {"warnings_fatal": True},
    "-dD": {"diagnose": True},
    "-dr": {"ignore_unresolved": True},
    "-dS": {"splice": False},
    "-dV": {"server_verify": False},
}
_TEXTS = {"-cc": "condition", "-p": "pidfile", "-C": "folder", "-L": "local_peer"}
_NUMBERS = {"-n": "maxconn", "-N": "proxy_maxconn", "-m": "memory_mb"}
_IDLE_TEXTS = frozenset({"-x"})
_PIDS = {"-sf": "finish_pids", "-st": "end_pids"}


def parse(argv: Sequence[str]) -> Arguments | UsageError:
    """Understand the words after the program's name."""
    parser = _ArgumentParser(argv)
    try:
        parser.run()
    except _WrongUsageError as error:
        return UsageError(str(error))
    arguments = msgspec.convert(parser.values, Arguments)
    told = arguments.help or arguments.version
    if not (told or arguments.files or arguments.condition is not None):
        return UsageError("no configuration file: give one with -f")
    return arguments


class _ArgumentParser:
    """The words not yet read, and what was understood so far."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.values: dict[str, object] = {}
        self._words = list(argv)
        self._files: list[str] = []
        self._master_sockets: list[str] = []
        self._idle: list[tuple[str, str]] = []

    def run(self) -> None:
        while self._words:
            word = self._words.pop(0)
            if word == "--":
                self._files += self._words
                break
            self._flag(word)
        self.values["files"] = tuple(self._files)
        self.values["master_sockets"] = tuple(self._master_sockets)
        self.values["idle_flags"] = tuple(self._idle)

    def _flag(self, word: str) -> None:
        if word == "-f":
            self._files.append(self._argument(word, "a file or folder"))
        elif word == "-S":
            self._master_sockets.append(self._argument(word, "an address"))
        elif word in _SWITCHES:
            self.values.update(_SWITCHES[word])
        elif word.startswith("-d") and word[:3] in _SWITCHES:  # HAProxy looks at no more
            self.values.update(_SWITCHES[word[:3]])
        elif word in _TEXTS:
            self.values[_TEXTS[word]] = self._argument(word, "an argument")
        elif word in _NUMBERS:
            self.values[_NUMBERS[word]] = self._number(word)
        elif word in _PIDS:
            self.values[_PIDS[word]] = self._pids()
        elif word in _IDLE_TEXTS:
            self._idle.append((f"{word} {self._argument(word, 'an argument')}", _IDLE[word]))
        elif word.startswith("-d"):
            self._idle.append((word, _IDLE.get(word[:3], _AID)))
        else:
            reason = "unknown option" if word.startswith("-") else "a file needs -f or -- before it"
            raise _WrongUsageError(f"{reason}: '{word}'")

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
