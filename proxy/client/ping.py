"""`millrace ping`: whether clients are served, asked of the main process.

The main process listens beside its pid file (proxy/supervisor/ping.py), and answers each
client with one line, `ok: ...` or `failing: ...`, without reading anything. Neither control nor a
stats socket is needed: a container is not to be restarted because a page cannot be shown. A main
process that hangs does not answer in time, one that is dead refuses.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping

from proxy.flags.table import PIDFILE
from proxy.kernel.local_connect import connect_within
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

OK = "ok"
FAILING = "failing"
LINE_BYTES_MAX = 4_096


def ping_path(pidfile: str) -> str:
    """Where the program with this pid file answers."""
    return f"{pidfile}.ping"


def run(
    pidfile: str | None, files: tuple[str, ...], environ: Mapping[str, str], seconds: int
) -> int:
    """Say what the main process says; 0 where it is well, otherwise 1."""
    path = ping_path(pidfile or _named(files, environ) or PIDFILE)
    try:
        line = ask(path, seconds)
    except (TimeoutError, BlockingIOError):  # the latter of a full queue
        line = f"{FAILING}: the main process does not answer within {seconds} s [{path}]"
    except OSError as error:
        line = (
            f"{FAILING}: {error.strerror or error} [{path}]: it does not run, or its pid file is "
            "another: name that with -p"
        )
    well = line.startswith(OK)
    say(line + "\n", STANDARD_OUTPUT if well else STANDARD_ERROR)
    return 0 if well else 1


def _named(files: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """The `pidfile` of the files of -f."""
    if not files:
        return None
    from proxy.client.lines import read_places  # noqa: PLC0415 - a probe is to be cheap

    return read_places(files, dict(environ)).pidfile


def ask(path: str, seconds: int) -> str:
    """The line that the main process says; raises OSError, TimeoutError among them."""
    with socket.socket(socket.AF_UNIX) as connection:
        connect_within(connection, path, seconds)
        connection.settimeout(seconds)
        answer = b""
        while b"\n" not in answer and len(answer) < LINE_BYTES_MAX:
            more = connection.recv(LINE_BYTES_MAX)
            if not more:
                break
            answer += more
    return answer.decode(sys.getfilesystemencoding(), "replace").partition("\n")[0] or FAILING
