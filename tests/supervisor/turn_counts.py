"""The program, which writes down how often each of its generations had a turn.

`$MILLRACE_TURNS` is written at the begin of a reload and after its end: milliseconds of the monotonic
clock, and the turns that each generation, by its number, has had.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

from proxy.cli import run
from proxy.runtime import now_ms
from proxy.supervisor.generation import Generation
from proxy.supervisor.reload import Reload
from proxy.supervisor.supervisor import Supervisor

turns: Counter[int] = Counter()
moments: list[tuple[int, dict[int, int]]] = []
turn, begin, conclude = Generation.turn, Supervisor._begin_reload, Supervisor._conclude_reload


def counted(generation: Generation, now: int, *, judge: bool) -> None:
    turns[generation.runtime.segment.reload_generation] += 1
    turn(generation, now, judge=judge)


def begun(supervisor: Supervisor, now: int) -> None:
    moments.append((now_ms(), dict(turns)))
    begin(supervisor, now)


def concluded(supervisor: Supervisor, reload: Reload, now: int) -> None:
    conclude(supervisor, reload, now)
    moments.append((now_ms(), dict(turns)))
    written = Path(os.environ["MILLRACE_TURNS"] + ".new")
    written.write_text(json.dumps(moments))
    written.rename(os.environ["MILLRACE_TURNS"])  # nobody reads half of it


if __name__ == "__main__":
    Generation.turn = counted
    Supervisor._begin_reload = begun
    Supervisor._conclude_reload = concluded
    sys.exit(run(sys.argv[1:]))
