"""The command `millrace`, also as `python -m proxy`: standard descriptors and signals first.

Whatever else the program needs is imported after that: a reload or soft stop that is ordered
meanwhile would end it, because no handler of these signals is set yet.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from proxy.builds.succession import PROOF, Estate, outlive, take_estate
from proxy.supervisor.signals import HANDLED, HELD, begin_signals, end_by
from proxy.terminal import open_standard_descriptors, say

if TYPE_CHECKING:
    from proxy.arguments import Arguments


def main() -> int:
    """The console script: sys.argv to an exit status (manual of management, section 3)."""
    open_standard_descriptors()
    estate = take_estate(os.environ)
    begin_signals(held=HELD if estate is None else HANDLED)
    gc.disable()  # until the first fork: what is imported and read until then stays
    if estate is not None:
        return outlive(estate, partial(succeed, estate, sys.argv[1:]))
    try:
        run = load(sys.argv[1:])
        return 1 if run is None else run()
    except KeyboardInterrupt:  # before the supervisor took the signals
        end_by(signal.SIGINT)
        return 1


def succeed(estate: Estate, words: list[str]) -> int:
    """Go on from the former program."""
    from proxy.builds.installed import note_build  # noqa: PLC0415 - after the signals

    note_build()
    from proxy.cli import run_successor  # noqa: PLC0415 - after the signals

    return run_successor(words, estate)


def load(words: list[str]) -> Callable[[], int] | None:
    """What the words ask for; None, and an ALERT, where a library cannot be loaded."""
    try:
        return job(words)
    except Exception as error:  # as a SystemError of the interpreter, for lack of memory
        reason = str(error) or "out of memory"
        # a library that has no room to be mapped is an ImportError, too
        if isinstance(error, ImportError) or getattr(error, "errno", None) == errno.ENOMEM:
            reason += ": allow more memory, or install the program anew"
        say(f"[ALERT]    ({os.getpid()}) : cannot start: {type(error).__name__}: {reason}\n")
        return None


def job(words: list[str]) -> Callable[[], int]:
    """A command, which is cheap because no more is imported than it uses, or the program."""
    from proxy.arguments import Arguments, parse  # noqa: PLC0415 - after the signals

    arguments = parse(words)
    if isinstance(arguments, Arguments) and arguments.command and not arguments.help:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # no supervisor will act on them
        return command(arguments)
    if isinstance(arguments, Arguments) and arguments.serves:
        from proxy.builds.installed import note_build  # noqa: PLC0415 - only what is used

        note_build()  # before the imports
    from proxy.cli import real_entries, run  # noqa: PLC0415 - after the signals

    if isinstance(arguments, Arguments) and PROOF in os.environ:
        from proxy.supervisor.proof import prove  # noqa: PLC0415 - only what is used

        return partial(prove, arguments, partial(run, words), real_entries)

    return partial(run, words)


def command(arguments: Arguments) -> Callable[[], int]:
    """What the command says."""
    from proxy.flags.table import RELOADS  # noqa: PLC0415 - after the signals

    if arguments.command[0] == "ping":
        from proxy.client.ping import run as ping  # noqa: PLC0415 - only what is used

        seconds = arguments.timeout_seconds
        return partial(ping, arguments.pidfile, arguments.files, os.environ, seconds)
    if arguments.command[0] == "demo":
        from proxy.demo.__main__ import main as demo  # noqa: PLC0415 - only what is used

        return partial(demo, [])
    if arguments.command[0] == "report":
        from proxy.client.report.command import run as report  # noqa: PLC0415 - likewise

        return partial(report, arguments, os.environ)
    if arguments.command[0] in RELOADS:
        from proxy.client.reload import run as reload  # noqa: PLC0415 - likewise

        return partial(reload, arguments, os.environ)
    if arguments.command[:2] == ("show", "events"):
        from proxy.client.following import run as follow  # noqa: PLC0415 - likewise

        return partial(follow, arguments, os.environ)
    from proxy.client.ask import run as ask  # noqa: PLC0415 - only what is used

    return partial(ask, arguments, os.environ)


if __name__ == "__main__":
    sys.exit(main())
