"""The circumstances of a run (date, commit, machine, versions), the JSON file and the plot.

Results are comparable only on one machine.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from loadtest.figures import FIGURES
from loadtest.programs import ROOT, Missing, Program, executable, first_line
from loadtest.site import Site
from loadtest.table import SUBJECT, Results, medians, ratio

RESULTS_FOLDER = ROOT / "results"


def surroundings(programs: Sequence[Program], site: Site) -> dict[str, str]:
    """Date, commit, machine and versions, in the order in which they are printed."""
    now = datetime.now(UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "commit": first_line("git", "describe", "--always", "--dirty", "--exclude=*") or "unknown",
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "cores": f"proxy {_cores(site.proxy_cores)}, load and backend {_cores(site.load_cores)}",
        "load average at start": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{program.name: program.version for program in programs},
        "wrk": _version("wrk", "-v"),
        "iperf3": _version("iperf3", "--version"),
    }


def _version(name: str, option: str) -> str:
    path = executable(name)
    words = first_line(path, option).split() if path else []
    return words[1] if len(words) > 1 else "not installed"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cores(cores: frozenset[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))


def default_path() -> Path:
    """A new name in the results folder, with date and time."""
    return RESULTS_FOLDER / f"loadtest-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


def write_json(
    path: Path,
    around: dict[str, str],
    settings: dict[str, int],
    missing: Sequence[Missing],
    results: Results,
) -> None:
    """Write every raw number, the medians and the ratios of the printed figures."""
    peers = sorted({name for by_name in results.samples.values() for name in by_name} - {SUBJECT})
    content = {
        "surroundings": around,
        "settings": settings,
        "missing": {program.name: program.reason for program in missing},
        "medians": medians(results.samples),
        "ratios": {
            f"{figure.load}.{figure.key}": {peer: ratio(results, figure, peer) for peer in peers}
            for figure in FIGURES
            if figure.load in results.samples
        },
        "samples": results.samples,
        "failures": [asdict(failure) for failure in results.failures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_plot(path: Path, around: dict[str, str], results: Results) -> bool:
    """Draw each figure with a goal as bars per program; False without matplotlib."""
    try:
        from loadtest.plot import draw  # noqa: PLC0415 - its library is an extra
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)
        return False
    draw(path, around, results)
    return True
