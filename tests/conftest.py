"""What holds for every test: its process is alone, and what it makes up grows from a known seed."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from tests.support.generated import LONG, choose_seed, set_up_hypothesis
from tests.support.isolation import isolate

# Programs start a thousand times here: one that may keep no bytecode compiles all its modules each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
isolate()
set_up_hypothesis()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take half a minute come first in what each test process gets (pytest-xdist cuts
    the list into equal pieces): begun at last, one keeps all others waiting for the end.
    """
    lengthy = [item for item in items if item.get_closest_marker("lengthy")]
    others = [item for item in items if not item.get_closest_marker("lengthy")]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    left = len(items)
    items.clear()
    for number in range(processes):
        mine = lengthy[number::processes]
        count = left // (processes - number)
        items += mine + others[: max(0, count - len(mine))]
        del others[: max(0, count - len(mine))]
        left -= count
    items += others


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays until the end: no collection of garbage goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where the random choices of a test begin; a failure shows it, `make long` lists it."""
    chosen = choose_seed(request.node.nodeid)
    request.node.user_properties.append(("seed", chosen))
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seeds of the long run, and of what failed."""
    for outcome, reports in sorted(terminalreporter.stats.items()):
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                told = report.when == "call" and (LONG or outcome == "failed")
                if name == "seed" and told:
                    terminalreporter.write_line(f"{outcome}: MILLRACE_SEED={value} {report.nodeid}")
