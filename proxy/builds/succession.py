"""A program that goes on from another one in the same process, and what becomes of it if it cannot.

The former program executed this one, and its supervision goes on in a child, the steward: that has
everything in memory, and all of the former generation's processes. So nothing is lost while this
program starts, and nothing if it does not come to serve:

    start --- settle() ---> serves
      |
      +---- ends before ---> the former build is executed, once, where it is kept;
                             else this process passes signals on to the steward (`_stand_by`)

All of this has to work in a process in which nothing else does: it imports nothing of the program.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from types import FrameType
from typing import Any, NamedTuple

VARIABLE = "MILLRACE_SUCCESSION"
PROOF = "MILLRACE_PROOF"  # set where a build only shows what it can
PROTOCOL = 1  # of the words between two builds, and of the record: another one cannot go on
PROVED = f"proved: succession {PROTOCOL}"
START_LIMIT_SECONDS = 150.0  # more than reading and starting may take together
WORD_BYTES_MAX = 1 << 17
STANDARD_ERROR = 2
NOBODY = "[ALERT]    the former program has ended, and the one that was to go on has failed"
STANDARD_END = 3  # the first descriptor that is no standard one
DESCRIPTOR_MAX = 1 << 30
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Estate(NamedTuple):
    """What a program goes on from: descriptors that it was executed with."""

    record: int  # a memfd: what the former program says of itself
    channel: int  # words to the steward, and from it
    steward: int  # its pid
    former: list[str]  # executes the former build; empty: it is not kept, or was tried
    failed: str = ""  # why the build that was to go on did not

    def to_environment(self, environ: MutableMapping[str, str]) -> None:
        """For the program that is executed now."""
        environ[VARIABLE] = json.dumps(self._asdict())


_settled: list[bool] = []


def settle() -> None:
    """The program serves, or ends as it was told: it stands on its own."""
    _settled[:] = [True]
    signal.setitimer(signal.ITIMER_REAL, 0)


def _too_late(_number: int, _frame: FrameType | None) -> None:
    """Interrupts a start that hangs; the loop of a supervisor has limits of its own."""
    if not _settled:
        raise TimeoutError(f"it did not serve within {START_LIMIT_SECONDS} s")


def take_estate(environ: MutableMapping[str, str]) -> Estate | None:
    """What the former program left, None at any other start; no child sees the variable."""
    told = environ.pop(VARIABLE, None)
    return None if told is None else Estate(**json.loads(told))


def send_word(channel: int, word: str, **details: Any) -> None:
    """Tell the other side; that it has ended is told elsewhere."""
    with suppress(OSError):
        os.write(channel, json.dumps({"word": word, **details}).encode())


def outlive(estate: Estate, run: Callable[[], int]) -> int:
    """Run the program; its exit status, or that of the one which serves in its place."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, START_LIMIT_SECONDS)
    try:
        status = run()
        why = f"it ended with status {status} before it served"
    except BaseException as error:
        if _settled:
            raise
        status, why = 1, f"{type(error).__name__}: {error}"
    return status if _settled else fall_back(estate, why)


def fall_back(estate: Estate, why: str) -> int:
    """Let the former build serve; the exit status when it has ended."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    failed = estate.failed or why
    if not _is_child(estate.steward):
        os.write(STANDARD_ERROR, f"{NOBODY}: {failed}\n".encode(errors="replace"))
        return 1
    send_word(estate.channel, "back")
    if estate.former:
        estate._replace(former=[], failed=failed).to_environment(os.environ)
        with suppress(OSError):
            os.execve(estate.former[0], estate.former, os.environ)
    return _stand_by(estate, failed)


def _stand_by(estate: Estate, failed: str) -> int:
    """Be the process that all others know, while the steward serves and decides."""
    channel = os.dup2(estate.channel, STANDARD_END, inheritable=False)
    os.closerange(STANDARD_END + 1, DESCRIPTOR_MAX)  # among them sockets that listen
    send_word(channel, "stand by", failed=failed)
    _tell_manager(os.environ.get("NOTIFY_SOCKET", ""))
    awaited = (*PASSED_ON, signal.SIGCHLD)
    while (status := _reap(estate.steward)) is None:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            send_word(channel, "signal", number=int(number))
    return _end_like(os.waitstatus_to_exitcode(status))


def _is_child(pid: int) -> bool:
    """Whether its end was not taken yet."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reap(steward: int) -> int | None:
    """Take all ends of children; that of the steward."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == steward:
                found = status
    return found


def _end_like(code: int) -> int:
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    return code


def _tell_manager(path: str) -> None:
    """sd_notify(3): the reload that had begun is over."""
    address = "\0" + path[1:] if path.startswith("@") else path
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1\nSTATUS=The former build serves.", address)
