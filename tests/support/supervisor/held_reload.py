"""The program with stand-in children, whose reloads stay between the old services and the new.

`python tests/support/supervisor/held_reload.py <arguments>`: what moved is never all copied.
"""

from __future__ import annotations

import sys

import proxy.supervisor.reload as reload_module
from proxy.cli import run as run_cli
from proxy.supervisor.generation import Generation
from proxy.supervisor.slices import Steps
from tests.support.supervisor.program import ENTRIES


def copy_for_ever(_old: Generation, _new: Generation) -> Steps[None]:
    """Instead of `hand_over`."""
    while True:
        yield


if __name__ == "__main__":
    reload_module.hand_over = copy_for_ever  # type: ignore[attr-defined]
    sys.exit(run_cli(sys.argv[1:], lambda: ENTRIES))
