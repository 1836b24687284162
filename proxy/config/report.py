"""Messages in HAProxy's form, and the output and exit status of `-c`.

Owns the text form only: scripts and editors parse these lines. Prints nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from proxy.config.text.messages import Message, Severity

TAG_WIDTH = 10  # characters: the process id starts in the same column for every severity
VALID = "Configuration file is valid"
WARNED = "Warnings were found."
FATAL = "config : Fatal errors found in configuration."
NO_LISTENER = "Configuration file has no error but will not start (no listener) => exit(2)."
WARNINGS_FATAL = "config : Some warnings were found and 'zero-warning' is set. Aborting."


class LoadReport(msgspec.Struct, frozen=True):
    """The lines to print, and the exit status."""

    lines: tuple[str, ...]
    exit_status: int


def render_tagged(severity: Severity, pid: int, text: str) -> str:
    """One line of log: `[ALERT]    (1234) : text`."""
    tag = f"[{severity.value}]"
    return f"{tag:<{TAG_WIDTH}} ({pid}) : {text}"


def render(message: Message, pid: int) -> str:
    """One message as a line: `[ALERT]    (1234) : config : parsing [edge.cfg:17] : text`.

    Bytes of the file that are not UTF-8 are escaped, so that any terminal can show the line.
    """
    place = ""
    if message.origin is not None:
        place = f"parsing [{message.origin.file}:{message.origin.line}] : "
    text = f"config : {place}{message.text}".encode(errors="backslashreplace").decode()
    return render_tagged(message.severity, pid, text)


def summarize(
    messages: Sequence[Message],
    *,
    check: bool = False,
    quiet: bool = False,
    diagnose: bool = False,
    warnings_fatal: bool = False,
    has_listener: bool = True,
    pid: int | None = None,
) -> LoadReport:
    """The output of `-c` (or of a start) for these messages, and its exit status.

    0: no error; 1: errors; 2: no error, but no bind address.
    `quiet` is -q (errors only), `diagnose` -dD, `warnings_fatal` -dW or `zero-warning`,
    `has_listener` whether the settings have a bind address.
    """
    shown_pid = os.getpid() if pid is None else pid
    failed = any(message.severity is Severity.ALERT for message in messages)
    warned = any(message.severity is Severity.WARNING for message in messages)
    hidden = set() if diagnose else {Severity.DIAG}
    if quiet:
        hidden |= {Severity.DIAG, Severity.NOTICE, Severity.WARNING}
    lines = [render(message, shown_pid) for message in messages if message.severity not in hidden]
    if failed:
        lines.append(render_tagged(Severity.ALERT, shown_pid, FATAL))
        return LoadReport(tuple(lines), 1)
    if warned and warnings_fatal:
        lines.append(render_tagged(Severity.ALERT, shown_pid, WARNINGS_FATAL))
        return LoadReport(tuple(lines), 1)
    if check and warned and not quiet:
        lines.append(WARNED)
    if not has_listener:
        lines.append(NO_LISTENER)
        return LoadReport(tuple(lines), 2)
    if check and not quiet:
        lines.append(VALID)
    return LoadReport(tuple(lines), 0)
