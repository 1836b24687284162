"""Starting a pinned child process and ending it, with all its descendants, by pid.

Owns the processes that a run starts. Every child is pinned before exec, has a session of its own (a
Ctrl-C reaches only the harness, which ends the others in order) and gets SIGTERM at any death of
the harness (PR_SET_PDEATHSIG). The harness has no threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from loadtest.cpu import process_tree, read_stat

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 3.0

_libc = ctypes.CDLL(None, use_errno=True)


class ProgramFailedError(Exception):
    """A program did not start, ended unexpectedly, or failed at its load; the text says why."""


def _before_exec(cores: frozenset[int]) -> Callable[[], None]:
    def prepare() -> None:
        os.sched_setaffinity(0, cores)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


@contextmanager
def running(
    command: Sequence[str],
    cores: frozenset[int],
    output: IO[bytes] | int,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` on `cores` while the block lasts; its whole process tree is ended after it."""
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_before_exec(cores),  # noqa: PLW1509 - no threads here
        )
    except OSError as error:
        raise ProgramFailedError(f"{command[0]}: {error.strerror}") from error
    try:
        yield child
    finally:
        stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the tree of `child`: SIGTERM to its root, SIGKILL after three seconds to what is left."""
    tree = process_tree(child.pid)
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
    for member in tree:
        now = read_stat(member.pid)
        if now is not None and now.start_time == member.start_time:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def output_of(command: Sequence[str], cores: frozenset[int], limit_seconds: float) -> str:
    """The standard output of a load generator.

    Raises ProgramFailedError when it does not end within `limit_seconds` or with status 0.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            start_new_session=True,
            preexec_fn=_before_exec(cores),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailedError(f"{command[0]}: not done within {limit_seconds:.0f} s") from error
    except OSError as error:
        raise ProgramFailedError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ProgramFailedError(f"{command[0]}: status {done.returncode}: {last}")
    return done.stdout
