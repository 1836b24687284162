"""The text of `--help`, and what a command line that makes no sense is told of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from proxy.flags.table import COMMANDS, CONFIGURATION, FLAGS, IDLE_FLAGS, PIDFILE, PROGRAM, Flag

COLUMN = 21  # where the texts begin
WIDTH = 100


def label(flag: Flag) -> str:
    """A flag and what follows it: `-S, --socket <address>`."""
    return " ".join((", ".join(flag.names), flag.shown)).strip()


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for left, right in rows:
        lines = textwrap.wrap(right, WIDTH - COLUMN, break_on_hyphens=False)
        beside = len(left) + 3 < COLUMN
        if not beside:
            yield f"  {left}"
        for number, line in enumerate(lines):
            yield f"{'  ' + left if beside and number == 0 else '':<{COLUMN}}{line}"


SYNOPSIS = (
    f"Usage: {PROGRAM} [-f <file|folder>]... [-c] [options] [-- <file>...]",
    f"       {PROGRAM} [-f <file> | -p <file> | -S <address>] <command>",
)
# All of it would push the complaint off a screen of 24 lines.
USAGE_HINT = "\n".join((*SYNOPSIS, f"'{PROGRAM} --help' lists options and commands")) + "\n"


def _usage() -> Iterator[str]:
    yield from SYNOPSIS
    yield from _rows((label(flag), flag.help) for flag in FLAGS)
    idle = " ".join(flag.names[0] for flag in IDLE_FLAGS if not flag.names[0].startswith("-d"))
    yield from _rows([(f"{idle} -d...".strip(), "accepted without effect; a notice says why")])
    yield ""
    yield f"Commands (unless given, -f is {CONFIGURATION} and -p {PIDFILE}):"
    yield from _rows((command.shown, command.help) for command in COMMANDS)
    yield ""
    yield f"Start here: {PROGRAM} -c -f haproxy.cfg   then   {PROGRAM} -f haproxy.cfg"


USAGE = "\n".join(_usage()) + "\n"
