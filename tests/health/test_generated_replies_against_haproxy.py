"""Whatever a server answers to a check, Debian's HAProxy and Millrace make the same of it.

Replies grow from grammars and are damaged (tests/support/replies/): in `make test` a sample of each
dialect, in `make long` thousands of each, from a seed that its end names. What was found once is
among them ever after.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.generated import LONG, sample
from tests.support.replies.dialects import DIALECTS, cases_of
from tests.support.replies.found import FOUND
from tests.support.replies.judgement import Difference, judged

EACH = sample(24, full=2_000)
AT_ONCE = 500
EXCUSED_MAX = 0.02  # of all replies
GROUPS = [(name,) for name in DIALECTS] if LONG else [tuple(DIALECTS)]


@pytest.mark.slow
@pytest.mark.parametrize("names", GROUPS, ids="_and_".join if LONG else lambda _: "all")
def test_generated_replies_are_judged_alike(
    tmp_path: Path, seed: int, names: tuple[str, ...]
) -> None:
    cases = [case for name in names for case in cases_of(name, seed, EACH)]
    Random(seed).shuffle(cases)
    cases += FOUND.values()
    otherwise: list[Difference] = []
    at_once = again = 0
    excused: dict[str, int] = {}
    for number, begin in enumerate(range(0, len(cases), AT_ONCE)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = judged(folder, cases[begin : begin + AT_ONCE])
        at_once, again = at_once + found.at_once, again + found.again
        otherwise += found.otherwise
        for fault, count in found.excused.items():
            excused[fault] = excused.get(fault, 0) + count
    print(
        f"{', '.join(names)}: {len(cases)} replies from seed {seed}: {at_once} alike,"
        f" {again} when played again, excused {excused}, {len(otherwise)} otherwise"
    )
    print(*otherwise, sep="\n")
    assert not otherwise
    assert sum(excused.values()) <= EXCUSED_MAX * len(cases), excused
