"""A start of the program, in a fork for each, with an error raised at one of its calls.

    start_faults.py FOLDER FIRST STEP LIMIT CONFIGURATION

A site is a line of the product and what it calls, from the first word of the command line until the
supervisor's loop would begin, which ends the start with status 0. Of the cases (each error at each
site) those from FIRST on are played, every STEP th, LIMIT of them at most; for each a line of JSON
tells status and output. The sites are written first.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from proxy.cli import run as run_cli
from proxy.supervisor.end import End
from proxy.supervisor.supervisor import Supervisor
from tests.supervisor.reload_faults import ERRORS, FORK_HOOKS
from tests.support.supervisor.program import ENTRIES

ROOMS = ("supervisor", "proxy", "config")
PASSED_OVER = (*FORK_HOOKS, "__exit__", "__hash__", "started")  # the last is the loop
TELLING = ("_refuse", "last_words", "_report")  # what says how it went
UNFORESEEN = 70  # os.EX_SOFTWARE
Site = tuple[str, int, str]


class StartInjector:
    """Watches the calls of one start."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.sites: dict[Site, None] = {}
        self.wanted: Site | None = None
        self.error: BaseException = ERRORS[0]

    def look(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profile function: `call` comes in the called frame, `c_call` in the calling one."""
        if event not in ("call", "c_call") or os.getpid() != self.pid:
            return
        caller = frame.f_back if event == "call" else frame
        name = frame.f_code.co_name if event == "call" else getattr(argument, "__name__", "?")
        if caller is None or name in PASSED_OVER or not is_of_the_start(caller):
            return
        site = (Path(caller.f_code.co_filename).name, caller.f_lineno, name)
        if self.wanted is None:
            self.sites[site] = None
        elif site == self.wanted:
            self.wanted = None
            raise type(self.error)(*self.error.args)


def is_of_the_start(caller: FrameType) -> bool:
    path = Path(caller.f_code.co_filename)
    if path.parent.name not in ROOMS or "proxy" not in path.parts:
        return False
    step: FrameType | None = caller
    while step is not None:
        if step.f_code.co_name in TELLING:
            return False
        step = step.f_back
    return True


def started(_: Supervisor) -> End:
    """Instead of the loop: no fault comes from here on."""
    sys.setprofile(None)
    return End.SOFT


def start(injector: StartInjector, words: list[str]) -> int:
    """The status of a start that ends where the loop would begin."""
    Supervisor.run = started
    sys.setprofile(injector.look)
    try:
        return run_cli(words, lambda: ENTRIES)
    except BaseException:
        traceback.print_exc()
        return UNFORESEEN
    finally:
        sys.setprofile(None)


def in_fork(work: Callable[[], int], output: Path) -> tuple[int, str]:
    """Status and standard error of a function in a child."""
    with output.open("w+b") as file:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(file.fileno(), 2)
            status = UNFORESEEN
            try:
                status = work()
            finally:
                os._exit(status)
        _, ended = os.waitpid(pid, 0)
        file.seek(0)
        return os.waitstatus_to_exitcode(ended), file.read().decode()


def main(folder: Path, first: int, step: int, limit: int, file: str) -> None:
    words = ["-f", file]
    sites, output = folder / "sites", folder / "output"

    def note() -> int:
        injector = StartInjector()
        status = start(injector, words)
        sites.write_text(json.dumps(list(injector.sites)))
        return status

    print(json.dumps(["none", *in_fork(note, output)]))
    cases = [(site, error) for site in json.loads(sites.read_text()) for error in ERRORS]
    for (path, line, name), error in cases[first::step][:limit]:

        def play(site: Site = (path, line, name), error: BaseException = error) -> int:
            injector = StartInjector()
            injector.wanted, injector.error = site, error
            return start(injector, words)

        what = f"{error!r} at {path}:{line} {name}"
        print(json.dumps([what, *in_fork(play, output)]), flush=True)


if __name__ == "__main__":
    first, step, limit = map(int, sys.argv[2:5])
    main(Path(sys.argv[1]), first, step, limit, sys.argv[5])
