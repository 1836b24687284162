"""`python -m loadtest`: reads the options, runs the rounds, prints the table, writes the files.

The table is printed to standard output, progress to standard error. Ends with 0 if Millrace did not
fail at any load, else with 1; Ctrl-C ends every process, then prints and writes the results so far.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtest import report
from loadtest.interruption import INTERRUPTION
from loadtest.loads import LOADS
from loadtest.process import ProgramFailedError
from loadtest.programs import PROGRAM_NAMES, Missing, Program, find_program
from loadtest.rounds import run_rounds
from loadtest.site import make_site
from loadtest.table import SUBJECT, Failure, Results, markdown, render

LOAD_NAMES = tuple(load.name for load in LOADS)
QUICK_ROUNDS = 1
QUICK_SECONDS = 1
INTERRUPTED_STATUS = 130


def _names(allowed: Sequence[str], text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; of {', '.join(allowed)}")
    return names


def _program_names(text: str) -> list[str]:
    return _names(PROGRAM_NAMES, text)


def _load_names(text: str) -> list[str]:
    return _names(LOAD_NAMES, text)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest", description="Millrace and its peers on the same work."
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=_positive, default=4, help="length of each load (4)")
    parser.add_argument("--only", type=_load_names, default=list(LOAD_NAMES), metavar="LOADS",
                        help=f"comma-separated, of {', '.join(LOAD_NAMES)}")  # fmt: skip
    parser.add_argument("--programs", type=_program_names, default=list(PROGRAM_NAMES),
                        help=f"comma-separated, of {', '.join(PROGRAM_NAMES)}")  # fmt: skip
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of one second each, without the loads about many servers and workers",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="raw numbers (results/...)")
    return parser


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with these options; returns the exit status."""
    options = _parser().parse_args(arguments)
    INTERRUPTION.install()
    rounds = QUICK_ROUNDS if options.quick else options.rounds
    seconds = QUICK_SECONDS if options.quick else options.seconds
    found = [find_program(name) for name in options.programs]
    programs = [program for program in found if isinstance(program, Program)]
    missing = [program for program in found if isinstance(program, Missing)]
    loads = [load for load in LOADS if load.name in options.only]
    if options.quick:
        loads = [replace(load, setup=load.quick or load.setup) for load in loads if load.brief]
    site = make_site()
    around = report.surroundings(programs, site)
    results = Results(failures=[Failure(gone.name, "", 0, gone.reason) for gone in missing])
    status = 0
    try:
        run_rounds(programs, loads, site, rounds, seconds, _progress, results)
    except KeyboardInterrupt:
        _progress("interrupted")
        status = INTERRUPTED_STATUS
    except ProgramFailedError as error:
        _progress(str(error))
        return 1
    print("\n".join(f"{name}: {value}" for name, value in around.items()), end="\n\n")
    print(render(results, options.programs), end="")
    path = options.json or report.default_path()
    report.write_json(path, around, {"rounds": rounds, "seconds": seconds}, missing, results)
    _progress(f"raw numbers: {path}")
    path.with_suffix(".md").write_text(markdown(results, options.programs), encoding="utf-8")
    _progress(f"table: {path.with_suffix('.md')}")
    if report.write_plot(path.with_suffix(".png"), around, results):
        _progress(f"plot: {path.with_suffix('.png')}")
    return status or int(any(failure.program == SUBJECT for failure in results.failures))


if __name__ == "__main__":
    sys.exit(main())
