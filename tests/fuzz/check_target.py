"""A coverage-guided run over the readers of replies to checks; a program of its own (libFuzzer).

    python -m tests.fuzz.check_target FOLDER RUNS [options of libFuzzer]

FOLDER keeps the inputs that led to new code. The first three bytes of an input choose the dialect,
the size of its pieces, and how the server leaves. Ends with another status than 0 at the first
exception.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["proxy.health", "proxy.ordered_values"]):
    from proxy.health.dialect.dialects import MODULES

    for dialect in sorted(set(MODULES.values())):  # which a program imports as it needs them
        importlib.import_module(f"proxy.health.dialect.{dialect}")
    from tests.support.replies.dialects import cases_of
    from tests.support.replies.driver import NAMES, SILENT, obey
    from tests.support.replies.judgement import said

CHOICE_BYTES = 3
INPUT_MAX = 1_024
SEEDS_OF_EACH = 12
LEAVES = (SILENT, 0, 104)


def seeds() -> list[bytes]:
    """Some replies of each dialect that are not too long."""
    return [
        bytes((number, 255, kind % len(LEAVES))) + said(case)[:INPUT_MAX]
        for number, name in enumerate(NAMES)
        for kind, case in enumerate(cases_of(name, 1, SEEDS_OF_EACH))
    ]


def answer(data: bytes) -> None:
    """Give one input to a check."""
    if len(data) < CHOICE_BYTES:
        return
    name, size, leave = NAMES[data[0] % len(NAMES)], data[1] + 1, LEAVES[data[2] % len(LEAVES)]
    reply = data[CHOICE_BYTES:]
    obey(name, (reply[at : at + size] for at in range(0, len(reply), size)), leave)


def main() -> None:
    """Run over the seeds and what grows out of them."""
    folder, runs, *options = sys.argv[1:]
    for number, seed in enumerate(seeds()):
        Path(folder, str(number)).write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], f"-atheris_runs={runs}", f"-max_len={INPUT_MAX}", *options, folder], answer
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
