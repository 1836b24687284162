"""The command `millrace`, also as `python -m proxy`: standard descriptors and signals first.

Whatever else the program needs is imported after that: a reload or soft stop that is ordered
meanwhile would end it, because no handler of these signals is set yet.
"""

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable

from proxy.supervisor.signals import begin_signals, end_by
from proxy.terminal import open_standard_descriptors, say


def main() -> int:
    """The console script: sys.argv to an exit status (manual of management, section 3)."""
    open_standard_descriptors()
    begin_signals()
    gc.disable()  # until the first fork: what is imported and read until then stays
    try:
        run = load()
        return 1 if run is None else run(sys.argv[1:])
    except KeyboardInterrupt:  # before the supervisor took the signals
        end_by(signal.SIGINT)
        return 1


def load() -> Callable[[list[str]], int] | None:
    """The program itself; None, and an ALERT, where a library cannot be loaded."""
    try:
        from proxy.cli import run  # noqa: PLC0415 - after the signals
    except Exception as error:  # as a SystemError of the interpreter, for lack of memory
        reason = str(error) or "out of memory"
        # a library that has no room to be mapped is an ImportError, too
        if isinstance(error, ImportError) or getattr(error, "errno", None) == errno.ENOMEM:
            reason += ": allow more memory, or install the program anew"
        say(f"[ALERT]    ({os.getpid()}) : cannot start: {type(error).__name__}: {reason}\n")
        return None
    return run


if __name__ == "__main__":
    sys.exit(main())
