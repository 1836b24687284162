"""System calls per request and per connection, counted by strace while wrk runs.

Owns the tracing. Counts do not depend on the machine's noise, so that one more call is visible even
where its time is not; a traced program is far slower, so no time is measured here.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.cpu import process_tree
from loadtest.process import ProgramFailedError, running
from loadtest.programs import executable
from loadtest.site import Site

ATTACH_SECONDS = 5.0
END_SECONDS = 10.0


@contextmanager
def traced(root: int, site: Site) -> Iterator[dict[str, int]]:
    """Count the calls of all processes of a tree during the block; filled in at its end."""
    path = executable("strace")
    if path is None:
        raise ProgramFailedError("strace is not installed")
    pids = [word for stat in process_tree(root) for word in ("-p", str(stat.pid))]
    calls: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as folder:
        summary = Path(folder) / "calls"
        command = (path, "-f", "-c", "-U", "calls,name", "-o", str(summary), *pids)
        with (
            (Path(folder) / "said").open("w+b") as said,
            running(command, site.load_cores, said) as tracer,
        ):
            _await_attached(tracer, Path(folder) / "said")
            yield calls
            tracer.send_signal(signal.SIGINT)
            tracer.wait(END_SECONDS)
        calls.update(read_summary(summary.read_text(encoding="ascii")))


def _await_attached(tracer: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(int(ATTACH_SECONDS / 0.05)):
        if b"attached" in said.read_bytes():
            return
        try:
            tracer.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise ProgramFailedError(f"strace: {said.read_text(errors='replace').strip()[-200:]}")


def read_summary(text: str) -> dict[str, int]:
    """Calls by name, from the table of `strace -c -U calls,name`."""
    rows = re.findall(r"^\s*(\d+)\s+([a-z][a-z0-9_]*)\s*$", text, re.MULTILINE)
    return {name: int(count) for count, name in rows if name != "total"}
