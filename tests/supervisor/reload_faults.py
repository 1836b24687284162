"""The program with stand-in children, and an error raised at one call that a reload makes.

Each reload reads `$MILLRACE_FAULT`: the number of a call site and of an error, or nothing; then it
writes which sites there were. A site is a line of one of these files and what it calls, in the order of
the first reload; the error comes instead of the first call there.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import proxy.supervisor.supervisor as supervisor_module
from proxy.cli import run as run_cli
from proxy.supervisor.reload import Reload
from tests.support.supervisor.program import ENTRIES

ERRORS: tuple[BaseException, ...] = (
    *(
        OSError(number, os.strerror(number))
        for number in (
            *(errno.EMFILE, errno.ENOMEM, errno.ENOSPC),
            *(errno.EACCES, errno.EAFNOSUPPORT),
        )
    ),
    *(ValueError("of the test"), KeyError("of the test"), TypeError("of the test")),
    *(MemoryError(), RecursionError("of the test"), AssertionError("of the test")),
)
FILES = (
    *("slices.py", "pairs.py", "cores.py"),
    *("reload.py", "build.py", "listening.py", "binding.py", "descriptors.py", "capacity.py"),
    *(
        "columns.py",
        "handover.py",
        "fill.py",
        "carry.py",
        "helper.py",
        "state_files.py",
        "resolv_conf.py",
    ),
    *("log.py", "log_sockets.py", "runtime.py", "prepare.py", "workers.py"),
)
# Those of the process tree: there a fault may be mended within the reload, which then succeeds.
TREE_FILES = (
    *("generation.py", "children.py", "fork.py", "reaping.py", "watch.py", "backoff.py"),
    *("adoption.py", "reactor.py", "privileges.py", "services.py"),
)
UNDOING = ("__exit__", "pop_all", "callback", "append", "close", "detach", "__hash__")
# What the standard library does before and after a fork: the interpreter tells of what that raises,
# and goes on; no caller ever sees it.
FORK_HOOKS = ("_acquireLock", "_releaseLock", "acquire", "release", "_at_fork_reinit", "seed")
Site = tuple[str, int, str]


class Injector:
    """Watches the calls of one process while a reload is on the stack."""

    def __init__(self, plan: Path) -> None:
        self.plan = plan
        self.pid = os.getpid()
        self.sites: dict[Site, None] = {}
        self.wanted: Site | None = None
        self.error = ERRORS[0]

    def begin(self, *arguments: Any, **named: Any) -> Reload:
        """Instead of the class: a reload under observation."""
        known = self.plan.with_suffix(".sites")
        wish = json.loads(self.plan.read_text())
        if wish is None:
            self.sites, self.wanted = {}, None
        else:
            site, error = wish
            file, line, name = json.loads(known.read_text())[site]
            self.wanted = (file, line, name)
            self.error = ERRORS[error]
        sys.setprofile(self.look)
        return Reload(*arguments, **named)

    def look(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profile function: `call` comes in the called frame, `c_call` in the calling one."""
        if event not in ("call", "c_call") or os.getpid() != self.pid:
            return
        caller = frame.f_back if event == "call" else frame
        name = frame.f_code.co_name if event == "call" else getattr(argument, "__name__", "?")
        if caller is None or name in UNDOING or not under_reload(caller):
            return
        path = Path(caller.f_code.co_filename)
        if path.name not in FILES + TREE_FILES or "proxy" not in path.parts:
            return
        if path.name == "fork.py" and name in FORK_HOOKS:
            return
        site = (path.name, caller.f_lineno, name)
        if self.wanted is not None:
            if site == self.wanted:
                self.wanted = None
                raise type(self.error)(*self.error.args)  # a fresh one keeps no frame alive
        elif site not in self.sites:
            self.sites[site] = None
            written = self.plan.with_suffix(".new")
            written.write_text(json.dumps(list(self.sites)))
            written.rename(self.plan.with_suffix(".sites"))


def under_reload(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith("supervisor/reload.py"):
            undoing = frame.f_code.co_name in ("_call_off", "_drop", "timeout_ms")
            return not undoing and not getattr(frame.f_locals.get("self"), "succeeded", False)
        frame = frame.f_back
    return False


if __name__ == "__main__":
    injector = Injector(Path(os.environ["MILLRACE_FAULT"]))
    supervisor_module.Reload = injector.begin  # type: ignore[attr-defined]
    sys.exit(run_cli(sys.argv[1:], lambda: ENTRIES))
