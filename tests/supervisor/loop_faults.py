"""The program with stand-in children, and an error raised at one call of the supervisor's loop.

A site is a line of the product and what it calls, below the loop and not below a reload. While
`$MILLRACE_FAULT` has no plan, sites are noted in `.sites` beside it, under the scene that is named in
`.scene`. A plan is a site and the number of an error: the next call there raises it, and the file
`.fired` says so. A plan is read at the begin of a turn of the loop, and the file is removed then.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import proxy.supervisor.backoff as backoff_module
from proxy.cli import run as run_cli
from proxy.supervisor.supervisor import Supervisor
from tests.supervisor.reload_faults import ERRORS, FORK_HOOKS
from tests.support.supervisor.program import ENTRIES

ROOMS = ("supervisor", "proxy", "shm")
BACKOFF_MAX_MS = 20  # many children die here: their successors shall not be late
PASSED_OVER = (*FORK_HOOKS, "__exit__", "__hash__")
Site = tuple[str, int, str]


class Injector:
    """Watches the calls of one process while the loop is on the stack."""

    def __init__(self, plan: Path) -> None:
        self.plan = plan
        self.pid = os.getpid()
        self.sites: dict[Site, str] = {}
        self.wanted: Site | None = None
        self.error = 0

    def watch(self) -> None:
        """Begin each turn of the loop with a look for a plan.

        The interpreter takes a profile function off that has raised.
        """
        turn = Supervisor._turn

        def watched(supervisor: Supervisor, now_ms: int) -> None:
            self.read_plan()
            sys.setprofile(self.look)
            turn(supervisor, now_ms)

        Supervisor._turn = watched

    def look(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profile function: `call` comes in the called frame, `c_call` in the calling one."""
        if event not in ("call", "c_call") or os.getpid() != self.pid:
            return
        caller = frame.f_back if event == "call" else frame
        name = frame.f_code.co_name if event == "call" else getattr(argument, "__name__", "?")
        if caller is None or name in PASSED_OVER:
            return
        path = Path(caller.f_code.co_filename)
        if path.parent.name not in ROOMS:
            return
        site = (path.name, caller.f_lineno, name)
        if self.wanted is not None:
            if site == self.wanted and in_loop(caller):
                self.wanted = None
                self.plan.with_suffix(".fired").touch()
                error = ERRORS[self.error]
                raise type(error)(*error.args)  # a fresh one keeps no frame alive
        elif site not in self.sites and in_loop(caller):
            with suppress(OSError):
                self.sites[site] = self.plan.with_suffix(".scene").read_text()
            self.write()

    def read_plan(self) -> None:
        with suppress(FileNotFoundError):
            wish = json.loads(self.plan.read_text())
            self.wanted = None if wish is None else tuple(wish[0])
            self.error = 0 if wish is None else wish[1]
            self.plan.unlink()

    def write(self) -> None:
        written = self.plan.with_suffix(".new")
        written.write_text(json.dumps(list(self.sites.items())))
        written.rename(self.plan.with_suffix(".sites"))


def in_loop(frame: FrameType | None) -> bool:
    """Below a turn or a callback, beside any reload, and in nothing that only tells of a fault."""
    inside = False
    while frame is not None:
        name = frame.f_code.co_filename
        if name.endswith(("supervisor/reload.py", "supervisor/faults.py")):
            return False
        inside = inside or frame.f_code.co_name in ("_turn", "wait")
        frame = frame.f_back
    return inside


if __name__ == "__main__":
    backoff_module.BACKOFF_FIRST_MS = BACKOFF_MAX_MS  # type: ignore[attr-defined]
    backoff_module.BACKOFF_MAX_MS = BACKOFF_MAX_MS  # type: ignore[attr-defined]
    injector = Injector(Path(os.environ["MILLRACE_FAULT"]))
    injector.watch()
    sys.exit(run_cli(sys.argv[1:], lambda: ENTRIES))
