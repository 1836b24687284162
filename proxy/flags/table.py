"""Every flag and command of `millrace`, once (manual of management, section 3).

The parser goes by this table (proxy/arguments.py), and `--help`, the manual page and what shells
complete are made of it: what is not here is in none of them. Flags that tune what Millrace does not
have are accepted, because programs call it with HAProxy's arguments; `idle` says for each why it
changes nothing.
"""

from __future__ import annotations

import enum

import msgspec

PROGRAM = "millrace"
CONFIGURATION = "/etc/millrace/millrace.cfg"  # what commands read where no -f is given
PIDFILE = "/run/millrace/millrace.pid"  # where `ping` asks without -p
ANSWER_SECONDS = 5  # how long commands wait where no --timeout is given
RELOAD_SECONDS = 200  # likewise for a reload: the master answers before
RELOADS = ("reload", "hard-reload")  # commands of the master CLI


class Takes(enum.Enum):
    """What follows a flag."""

    NOTHING = ""
    CONFIGURATION = "a file or folder"
    FILE = "a file"
    FOLDER = "a folder"
    SOCKET = "an address"  # may be repeated
    TEXT = "an argument"
    NUMBER = "a number"
    PIDS = "process ids"


class Flag(msgspec.Struct, frozen=True):
    """One flag. `field` of `Arguments` gets what follows; without that, `sets` says what is set."""

    names: tuple[str, ...]
    help: str
    takes: Takes = Takes.NOTHING
    shown: str = ""  # what follows, as the usage writes it
    field: str = ""
    sets: tuple[tuple[str, object], ...] = ()
    idle: str = ""  # why it changes nothing


class ProgramCommand(msgspec.Struct, frozen=True):
    """One command; `words` are those with which it may begin, `flags` those that precede it."""

    words: tuple[str, ...]
    shown: str
    help: str
    flags: tuple[str, ...] = ()


def _switch(names: str, text: str, **sets: object) -> Flag:
    return Flag(tuple(names.split()), text, sets=tuple(sets.items()))


def _taking(names: str, takes: Takes, shown: str, field: str, text: str) -> Flag:
    return Flag(tuple(names.split()), text, takes, shown, field)


def _idle(name: str, reason: str, takes: Takes = Takes.NOTHING, shown: str = "") -> Flag:
    return Flag((name,), "", takes, shown, idle=reason)


FLAGS = (
    _taking(
        *("-f", Takes.CONFIGURATION, "<file|folder>", "files"),
        "read this configuration; a folder stands for its *.cfg. May be repeated",
    ),
    _switch(
        "-c",
        "check the configuration and end: status 0 valid, 1 not, 2 nothing would listen",
        check=True,
    ),
    _taking(
        *("--against", Takes.FILE, "<stats socket>", "against"),
        "check (-c), and say what a reload would change in the program that answers there",
    ),
    _taking(
        *("-cc", Takes.TEXT, "'<condition>'", "condition"),
        "evaluate a condition as in '.if': status 0 true, 1 false, 2 not a condition",
    ),
    _switch("-V", "say more, where the file says 'quiet'", verbose=True, quiet=False),
    _switch("-q", "say errors only", quiet=True, verbose=False),
    _switch("-D", "run in the background", daemon=True),
    _switch("-d", "stay in the foreground and say everything", debug=True, foreground=True),
    _switch("-db", "stay in the foreground", foreground=True),
    _switch("-W", "master-worker mode: SIGTERM ends it with status 0", master_worker=True),
    _switch(
        "-Ws",
        "the same, and tell systemd when it is ready",
        master_worker=True,
        notify_systemd=True,
    ),
    _taking(
        *("-p", Takes.FILE, "<file>", "pidfile"),
        "write the main process's pid there, and answer 'ping' beside it",
    ),
    _taking("-C", Takes.FOLDER, "<folder>", "folder", "change to this folder first"),
    _taking(
        *("-L", Takes.TEXT, "<name>", "local_peer"),
        "name of this host among its peers (default: the host name)",
    ),
    _taking(
        *("-n", Takes.NUMBER, "<number>", "maxconn"),
        "limit of connections of the whole process (global maxconn)",
    ),
    _taking(
        *("-m", Takes.NUMBER, "<megabytes>", "memory_mb"),
        "limit of private memory of each process",
    ),
    _taking(
        *("-N", Takes.NUMBER, "<number>", "proxy_maxconn"),
        "limit of connections of each proxy (maxconn)",
    ),
    _switch("-4", "ask DNS and the host for IPv4 addresses only", ipv4_only=True),
    _taking(
        *("-sf", Takes.PIDS, "<pid>...", "finish_pids"),
        "ask these processes to finish when this one is ready",
    ),
    _taking(
        *("-st", Takes.PIDS, "<pid>...", "end_pids"),
        "end these processes when this one is ready",
    ),
    _taking(
        *("-x", Takes.FILE, "<stats socket>", "old_socket"),
        "take over the listening sockets of the program that answers there, also HAProxy; its line "
        "has 'expose-fd listeners'. With -sf no client in a queue is lost",
    ),
    _switch("-dW", "warnings are fatal", warnings_fatal=True),
    _switch("-dD", "also say what is only suspicious", diagnose=True),
    _switch("-dr", "start even if a server's host name cannot be resolved", ignore_unresolved=True),
    _switch("-dS", "forward without splice()", splice=False),
    _switch(
        "-dV", "checks over TLS verify certificates only where a line says so", server_verify=False
    ),
    _taking(
        *("-S --socket", Takes.SOCKET, "<address>[,<option>[,<value>]]...", "socket"),
        "with -W: listen there for commands to the master, with options of a stats socket line "
        "(mode, user, group, level). Of commands: the stats socket to ask, or the master; a path "
        "or host:port",
    ),
    _taking(
        *("--timeout", Takes.NUMBER, "<seconds>", "timeout_seconds"),
        f"of commands: wait so long for an answer (default: {ANSWER_SECONDS}; of a reload: "
        f"{RELOAD_SECONDS})",
    ),
    _switch("-h --help", "options and commands in short", help=True),
    _switch("-v", "the version", version="-v"),
    _switch("-vv", "the version, the libraries and the machine", version="-vv"),
    _switch("-vq", "nothing but the version", version="-vq"),
    _switch("-vqs", "nothing but the version without its suffix", version="-vqs"),
    _switch("-vqb", "nothing but the version's branch", version="-vqb"),
)

AID = "it is an aid for work on HAProxy"
_EPOLL = "the event loop is always epoll"
IDLE_FLAGS = (
    _idle("-dR", "the workers' sockets share a port by SO_REUSEPORT and cannot do without"),
    _idle("-dG", "host names are always found by getaddrinfo"),
    _idle("-dI", "no program is started"),
    *(_idle(name, _EPOLL) for name in ("-de", "-dp", "-dk")),
    _idle("-dZ", "bytes are forwarded by splice() or by one copy; -dS turns splice() off"),
    _idle("-dL", "the program's libraries are listed by -vv"),
    _idle("-dC", "the configuration is not shown"),
    _idle("-dK", "keywords are not listed"),
)

# With which the commands of a stats socket begin; a test compares them with what it knows.
SOCKET_WORDS = (
    *("add", "clear", "commit", "del", "disable", "echo", "enable", "get", "help", "prepare"),
    *("publish", "set", "show", "shutdown", "unpublish", "wait"),
)
COMMANDS = (
    ProgramCommand(
        ("ping",),
        "ping",
        "whether clients are served, as the main process sees it: status 0 yes, 1 no. It needs -p, "
        "or 'pidfile', and neither control nor a stats socket",
        ("-f", "-p", "--timeout"),
    ),
    ProgramCommand(
        SOCKET_WORDS,
        "show|set|... <words>",
        "ask the stats socket of -S, or the first that answers of those in the files of -f, or of "
        "the program whose pid file -p names: "
        "status 0 done, 1 refused or no answer. A last word '<<' sends the standard input along",
        ("-f", "-p", "-S", "--socket", "--timeout"),
    ),
    ProgramCommand(
        ("report",),
        "report [<socket>|<pid>]",
        "write an archive for a ticket here: version, configuration without secrets, answers, and "
        "what the kernel says; of a program that hangs, too. Of whichever -S, -f or -p lead to",
        ("-f", "-p", "-S", "--socket", "--timeout"),
    ),
    ProgramCommand(
        RELOADS,
        "reload|hard-reload",
        "order a reload of the master CLI at -S, or of the program whose pid file -p names, wait "
        "until it is over and show its messages: status 0 done, 1 failed or no answer. "
        "'hard-reload' ends the sessions of former generations, too",
        ("-p", "-S", "--socket", "--timeout"),
    ),
    ProgramCommand(("demo",), "demo", "a nameserver, four servers and a client, to look at"),
)

FLAG_OF = {name: flag for flag in (*FLAGS, *IDLE_FLAGS) for name in flag.names}
COMMAND_OF = {word: command for command in COMMANDS for word in command.words}
