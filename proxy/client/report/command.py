"""`millrace report [<stats socket>|<pid>]`: gathers everything, says how it goes, names the file.

Nothing of it needs the program to be well: what cannot be had is named in the archive, with why.
Log files are not read.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import proxy
from proxy.arguments import Arguments
from proxy.client.connection import answer_of
from proxy.client.ping import ask, ping_path
from proxy.client.report.archive import Archive, PartError
from proxy.client.report.facts import Part, kernel_parts, process_parts, processes_of
from proxy.client.report.files import file_without_secrets
from proxy.client.report.target import ReportedProgram, find_target
from proxy.client.version import version_text
from proxy.config.outline.secrets import hide_in_text
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.sources import expand_sources
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

COMMANDS = (
    *("show info", "show why", "show proc debug", "show events state", "show config diff"),
    *("show config", "show startup-logs", "show resolution", "show resolvers", "show activity"),
    *("show errors", "show stat", "show servers state", "show servers conn", "show backend"),
    *("show sess susp", "show table", "show acl", "show map", "show rules", "show cli sockets"),
)
PACKAGES = ("proxy", "resolverd", "shm")
SILENCES_MAX = 2  # answers in a row that did not come: then no more is asked
REFUSALS = ("Unknown command", "Permission denied")


def run(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Write the archive; 0, or 1 where it cannot be written."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    host = re.sub(r"[^\w-]", "-", platform.node())
    path = Path.cwd() / f"millrace-report-{host}-{stamp}-{os.getpid()}.tar.gz"
    try:
        target = find_target(arguments, environ)
    except ConfigError as error:
        say(f"millrace: {error}\n", STANDARD_ERROR)
        return 1
    try:
        with Archive(path, lambda line: say(f"{line}\n", STANDARD_ERROR)) as archive:
            _fill(archive, target, arguments.timeout_seconds, environ)
    except OSError as error:
        say(f"millrace: cannot write {path}: {error.strerror or error}\n", STANDARD_ERROR)
        return 1
    are = "part is" if archive.failed == 1 else "parts are"
    missing = f" ({archive.failed} {are} missing: see parts.txt)" if archive.failed else ""
    say(f"{path}\n", STANDARD_OUTPUT)
    say(f"written{missing}; look through it before you send it\n", STANDARD_ERROR)
    return 0


def _fill(
    archive: Archive, target: ReportedProgram, seconds: int, environ: Mapping[str, str]
) -> None:
    archive.add("version.txt", _version)
    archive.add("target.txt", lambda: _target_text(target))
    archive.add("ping.txt", lambda: _ping(target, seconds))
    _add_answers(archive, target, seconds, environ)
    messages = Messages()
    for number, file in enumerate(expand_sources(target.files, messages), 1):
        name = f"configuration/{number}-{Path(file).name}"
        archive.add(name, partial(file_without_secrets, file))
    parts: list[Part] = []
    if target.pid is None:
        archive.add("processes", _no_process)
    else:
        for pid in processes_of(target.pid):
            parts += process_parts(pid)
    for name, make in (*parts, *kernel_parts(target.pid)):
        archive.add(name, make)


def _version() -> str:
    """The version, and which build of it is installed."""
    folder = Path(proxy.__file__).parents[1]
    times = [
        path.stat().st_mtime for package in PACKAGES for path in (folder / package).rglob("*.so")
    ]
    built = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(max(times, default=0)))
    libraries = f"{len(times)} libraries, the newest of {built}"
    return f"{version_text('-vv')}Installed in {folder}: {libraries}\n"


def _target_text(target: ReportedProgram) -> str:
    return (
        f"report made: {time.strftime('%Y-%m-%dT%H:%M:%S%z')}, uid {os.getuid()}\n"
        f"main process: {target.pid or 'not found'}\n"
        f"stats sockets: {' '.join(target.sockets) or 'none found'}\n"
        f"files: {' '.join(target.files) or 'none found'}\n"
        f"pid file: {target.pidfile or 'none known'}\n"
    )


def _ping(target: ReportedProgram, seconds: int) -> str:
    if target.pidfile is None:
        raise PartError("no pid file is known: name it with -p")
    path = ping_path(target.pidfile)
    try:
        return ask(path, seconds) + "\n"
    except TimeoutError:
        raise PartError(f"{path} has not answered within {seconds} s") from None
    except OSError as error:
        raise PartError(f"{path}: {error.strerror or error}") from error


def _no_process() -> str:
    raise PartError("no main process was found: name its pid, its stats socket, or its files by -f")


def _add_answers(
    archive: Archive, target: ReportedProgram, seconds: int, environ: Mapping[str, str]
) -> None:
    """What each command says, until the program does not answer any more."""
    address = target.sockets[0] if target.sockets else ""
    silences = 0
    for command in COMMANDS:
        name = f"{command.replace(' ', '-')}.txt"
        if silences >= SILENCES_MAX:
            archive.add(f"answers/{name}", _not_asked)
            continue

        def answer(command: str = command) -> str:
            nonlocal silences
            silences += 1
            said = _answer(address, command, environ, seconds)
            silences = 0
            if said.startswith(REFUSALS):
                raise PartError(said.partition("\n")[0])
            return said

        archive.add(f"answers/{name}", answer)


def _not_asked() -> str:
    raise PartError("not asked: the stats socket has not answered the commands before")


def _answer(address: str, command: str, environ: Mapping[str, str], seconds: int) -> str:
    if not address:
        raise PartError("no stats socket was found: name one with -S, or the files with -f")
    try:
        said = answer_of(address, command, environ, seconds)
    except TimeoutError:
        raise PartError(f"{address} has not answered within {seconds} s") from None
    except ConfigError as error:
        raise PartError(str(error)) from error
    except OSError as error:
        raise PartError(f"{address}: {error.strerror or error}") from error
    return hide_in_text(said.decode(errors="backslashreplace"))
