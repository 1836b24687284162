"""The manual page millrace(1), in the macros of man(7)."""

from __future__ import annotations

from collections.abc import Iterator

from proxy import __version__
from proxy.flags.table import (
    AID,
    ANSWER_SECONDS,
    COMMANDS,
    CONFIGURATION,
    FLAGS,
    IDLE_FLAGS,
    PIDFILE,
    PROGRAM,
    RELOAD_SECONDS,
)
from proxy.flags.usage import label

HEAD = rf""".TH {PROGRAM.upper()} 1 "" "Millrace {__version__}" "User Commands"
.SH NAME
{PROGRAM} \- TCP edge proxy that reads haproxy.cfg and finds its servers through DNS
.SH SYNOPSIS
.B {PROGRAM}
.RB [ \-f
.IR file | folder ]...
.RI [ flag ]...
.RB [ \-\-
.IR file ...]
.br
.B {PROGRAM}
.RB [ \-f
.IR file | \fB\-p\fR
.IR file | \fB\-S\fR
.IR address ]
.I command
.SH DESCRIPTION
Reads the TCP part of a configuration for HAProxy, listens, and forwards connections to servers
whose addresses come from DNS while it runs. Flags and signals are HAProxy's.
"""
SIGNALS = (
    (
        "SIGUSR2, SIGHUP",
        "read the files again, with the same sockets, and run the build that is on disk; "
        "an error changes nothing",
    ),
    ("SIGUSR1", "stop softly: accept no more, and end with the last session; /ready is 503"),
    ("SIGTERM, SIGINT", "end at once"),
)
FILES = (
    (CONFIGURATION, "what commands, and the service, read where no -f is given"),
    (PIDFILE, "pid of the main process, where the service or -p says so"),
    (f"{PIDFILE}.ping", "the socket beside it at which the main process answers ping"),
)
STATUS = """0: it ended by SIGUSR1, or with -W by SIGTERM; or did what was asked for. 1: the files,
the command line or the start had an error; what a command asks for was refused or had no answer. A
warning of a stats socket, such as an address that cannot be read, is no refusal: read the answer.
2: with -c, nothing would listen; with -cc, the condition was not understood. 130, 143: it was
ended by SIGINT, by SIGTERM without -W."""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _entries(entries: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, text in entries:
        yield f".TP\n.B {_escaped(name)}"
        yield _escaped(f"{text[0].upper()}{text[1:]}.")


def _parts() -> Iterator[str]:
    yield HEAD.rstrip()
    yield ".SH FLAGS"
    yield from _entries((label(flag), flag.help) for flag in FLAGS)
    yield ".SH COMMANDS"
    yield f"Each waits {ANSWER_SECONDS} seconds for an answer where \\-\\-timeout says nothing, a"
    yield f"reload {RELOAD_SECONDS}."
    yield from _entries((command.shown, command.help) for command in COMMANDS)
    yield ".SH SIGNALS"
    yield from _entries(iter(SIGNALS))
    yield ".SH EXIT STATUS"
    yield _escaped(STATUS)
    yield ".SH FILES"
    yield from _entries(iter(FILES))
    yield ".SH FLAGS WITHOUT EFFECT"
    yield "They are accepted, and a notice says why they change nothing."
    yield from _entries((label(flag), flag.idle) for flag in IDLE_FLAGS)
    yield from _entries(iter([("any other flag that begins with -d", AID)]))
    yield ".SH SEE ALSO"
    yield ".BR haproxy (1),\nthe pages in /usr/share/doc/millrace"


MANUAL = "\n".join(_parts()) + "\n"
