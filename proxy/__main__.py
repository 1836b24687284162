"""The command `millrace`, also as `python -m proxy`: standard descriptors and signals first.

Whatever else the program needs is imported after that: a reload or soft stop that is ordered
meanwhile would end it, because no handler of these signals is set yet.
"""

import signal
import sys

from proxy.supervisor.signals import begin_signals, end_by
from proxy.terminal import open_standard_descriptors


def main() -> int:
    """The console script: sys.argv to an exit status (manual of management, section 3)."""
    open_standard_descriptors()
    begin_signals()
    try:
        from proxy.cli import run  # noqa: PLC0415 - after the signals

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before the supervisor took the signals
        end_by(signal.SIGINT)
        return 1


if __name__ == "__main__":
    sys.exit(main())
