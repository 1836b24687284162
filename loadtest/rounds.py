"""The order of one run: rounds, loads, and the programs in turn (A B C, A B C, ...).

Owns the interleaving and the failures: a failure is stored and the run goes on; a program that
failed twice in a row is left out after that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from loadtest.backend import web_backend
from loadtest.instance import started
from loadtest.interruption import INTERRUPTION
from loadtest.load import Load
from loadtest.process import ProgramFailedError
from loadtest.programs import PROGRAM_NAMES, Program
from loadtest.site import Site
from loadtest.table import Failure, Results

FAILURES_IN_A_ROW_MAX = 2


def run_rounds(
    programs: Sequence[Program],
    loads: Sequence[Load],
    site: Site,
    rounds: int,
    seconds: int,
    report: Callable[[str], None],
    results: Results,
) -> None:
    """Fill `results`: each load, `rounds` times, every program in turn, each freshly started.

    After an interruption `results` has the samples so far.
    """
    failures_in_a_row: Counter[str] = Counter()
    works = sum(_can(program, load) for load in loads for program in programs) * rounds
    done, began = 0, time.monotonic()
    with web_backend(site):
        for number in range(1, rounds + 1):
            for load in loads:
                for program in programs:
                    if not _can(program, load):
                        continue
                    INTERRUPTION.check()
                    done += 1
                    if failures_in_a_row[program.name] >= FAILURES_IN_A_ROW_MAX:
                        continue
                    left = _left(done - 1, works, time.monotonic() - began)
                    report(f"round {number}/{rounds}  {load.name:<15} {program.name:<9} {left}")
                    try:
                        with (
                            load.prepare(site, load.setup) as run,
                            started(program, site, load.setup) as instance,
                        ):
                            sample = run(instance, site, seconds)
                    except ProgramFailedError as error:
                        failures_in_a_row[program.name] += 1
                        failure = Failure(program.name, load.name, number, str(error))
                        results.failures.append(failure)
                        report(f"  failed: {error}")
                        continue
                    failures_in_a_row[program.name] = 0
                    results.add(load.name, program.name, sample)


def _can(program: Program, load: Load) -> bool:
    return program.name in load.programs or program.name not in PROGRAM_NAMES


def _left(done: int, works: int, seconds: float) -> str:
    """The progress, with an estimate of the time left."""
    if done == 0:
        return f"1 of {works}"
    left = seconds / done * (works - done)
    return f"{done + 1} of {works}, about {left // 60:.0f} min {left % 60:02.0f} s left"
