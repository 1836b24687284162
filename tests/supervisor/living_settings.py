"""The program with stand-in children; at SIGPROF its supervisor says how many settings it keeps."""

from __future__ import annotations

import gc
import os
import signal
import sys

from proxy.cli import run as run_cli
from proxy.config.model.settings import Settings
from tests.support.supervisor.program import ENTRIES

SUPERVISOR = os.getpid()


def tell(*_: object) -> None:
    if os.getpid() == SUPERVISOR:
        gc.unfreeze()
        kept = sum(isinstance(each, Settings) for each in gc.get_objects())
        print(f"settings kept: {kept}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, tell)
    sys.exit(run_cli(sys.argv[1:], lambda: ENTRIES))
