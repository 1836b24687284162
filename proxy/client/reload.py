"""`millrace reload`: ordered of the master CLI, and how it went.

The master is found by -S, or where the command line of the program whose pid file -p names says
that it listens. It answers when the reload is over: `Success=0|1`, `--` and the messages of the
attempt (proxy/master/line.py), which are what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.arguments import Arguments
from proxy.client.ask import fail
from proxy.client.connection import answer_of
from proxy.client.running import command_line_of, pid_in
from proxy.config.text.messages import ConfigError
from proxy.flags.table import PIDFILE
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

OUTCOME = re.compile(r"Success=([01])\n--\n")
UNKNOWN = "Unknown command"
NAME_IT = "name the master CLI, the socket of -W -S, with -S"


def run(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Order it, wait, and show its messages; 0: reloaded, 1: not, or no answer."""
    order, seconds = arguments.command[0], arguments.timeout_seconds
    try:
        given = arguments.socket
        addresses = _masters(arguments.pidfile or PIDFILE) if given is None else (given,)
        address = addresses[0].partition(",")[0]  # as a start has it, with options
        answer = answer_of(address, order, environ, seconds).decode(errors="surrogateescape")
    except TimeoutError:
        return fail(f"no answer within {seconds} s: the reload goes on, the log says how it ends")
    except (OSError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        named = f"{given}: " if given is not None else ""
        return fail(f"{named}{reason or error}")
    outcome = OUTCOME.match(answer)
    if outcome is not None:
        reloaded = outcome[1] == "1"
        say(answer[outcome.end() :], STANDARD_OUTPUT if reloaded else STANDARD_ERROR)
        return int(not reloaded)
    if not answer:
        return fail("the connection ended before the answer did: the log says how it went")
    said = answer.strip().partition("\n")[0]
    return fail(f"{address} is no master CLI: {NAME_IT}" if said.startswith(UNKNOWN) else said)


def _masters(pidfile: str) -> tuple[str, ...]:
    """Where the program with this pid file listens for it; raises OSError."""
    pid = pid_in(pidfile)
    if pid is None:
        raise OSError(f"{pidfile} names no process that runs: {NAME_IT}")
    masters = command_line_of(pid).masters
    if not masters:
        raise OSError(
            f"process {pid} of {pidfile} does not tell of a master CLI: {NAME_IT}; "
            f"a Millrace without one reloads by 'kill -USR2 {pid}', and its log says how it ends"
        )
    return masters
