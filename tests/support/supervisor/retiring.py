"""The program, whose limits for a retiring control are those of the test and not of the machine.

`MILLRACE_FINISH_MS=<n>`: how long a retired control may send answers; as good as for ever without.
`MILLRACE_HELD=<file>`: the copying for the successor goes on until this file exists, then it fails.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import proxy.control.http.connection as http_module
import proxy.supervisor.reload as reload_module
import proxy.supervisor.services as services_module
from proxy.cli import run as run_cli
from proxy.supervisor.generation import Generation
from proxy.supervisor.slices import Steps

PATIENCE_MS = 600_000


def hold(_old: Generation, _new: Generation) -> Steps[None]:
    """Instead of `hand_over`."""
    while not Path(os.environ["MILLRACE_HELD"]).exists():
        yield
    raise ValueError("of the test")


if __name__ == "__main__":
    if "MILLRACE_HELD" in os.environ:
        reload_module.hand_over = hold  # type: ignore[attr-defined]
    services_module.FINISH_LIMIT_MS = int(os.environ.get("MILLRACE_FINISH_MS", PATIENCE_MS))  # type: ignore[attr-defined]
    services_module.RETIRE_LIMIT_MS = PATIENCE_MS  # type: ignore[attr-defined]
    services_module.SERVICES_END_LIMIT_MS = PATIENCE_MS  # type: ignore[attr-defined]
    http_module.REQUEST_HEAD_SECONDS_MAX = PATIENCE_MS / 1_000  # type: ignore[attr-defined]
    sys.exit(run_cli(sys.argv[1:]))
