"""The order of one run: rounds, loads, and the programs in turn (A B C, A B C, ...).

Owns the interleaving and what happens when a program fails: its failure is kept and the run goes
on; a program that cannot be started twice in a row is left out from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from loadtest.backend import web_backend
from loadtest.instance import started
from loadtest.loads import Load
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

    What was measured so far stays in `results` when this is interrupted.
    """
    failures_in_a_row: Counter[str] = Counter()
    with web_backend(site):
        for number in range(1, rounds + 1):
            for load in loads:
                for program in programs:
                    if program.name not in load.programs and program.name in PROGRAM_NAMES:
                        continue
                    if failures_in_a_row[program.name] >= FAILURES_IN_A_ROW_MAX:
                        continue
                    report(f"round {number}/{rounds}  {load.name:<10} {program.name}")
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
