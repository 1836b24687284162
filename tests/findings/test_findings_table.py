"""The page of users' findings has every number once, names tests that exist, and all of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "user-findings.md"
NUMBERS = list(range(1, 88))
VERDICTS = r"tested|cannot happen: .|does not apply: .|not met yet: ."
TEST_NAME = r"test_finding((?:_\d\d)+)_[a-z]\w*"


def rows() -> dict[int, str]:
    """The verdict on each finding, in the order of the page."""
    found: dict[int, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| [0-9]+ \|", line):
            number, reported, story, verdict = (cell.strip() for cell in line.strip("|").split("|"))
            assert reported, line
            assert story, line
            assert int(number) not in found, line
            found[int(number)] = verdict
    return found


def functions(file: Path) -> set[str]:
    """The functions of a test file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def found_here() -> set[str]:
    """Every test of a finding in this folder."""
    files = Path(__file__).parent.glob("test_*.py")
    names = set().union(*(functions(file) for file in files if file != Path(__file__)))
    return {name for name in names if name.startswith("test_")}


def named_in(verdict: str) -> tuple[set[str], set[tuple[str, str]]]:
    """The tests of this folder and those elsewhere that a verdict names."""
    elsewhere = set(re.findall(r"`(tests/\S+\.py)::(\w+)`", verdict))
    return set(re.findall(r"`(test_\w+)`", verdict)), elsewhere


def test_every_finding_has_one_row_in_order() -> None:
    assert list(rows()) == NUMBERS


def test_every_verdict_names_a_test_that_exists_or_says_why_there_is_none() -> None:
    here, wrong = found_here(), []
    for number, verdict in rows().items():
        names, elsewhere = named_in(verdict)
        wrong += [f"{number}: no {name}" for name in names - here]
        for path, name in elsewhere:
            file = ROOT / path
            if not file.is_file() or name not in functions(file):
                wrong.append(f"{number}: no {path}::{name}")
        if not re.match(VERDICTS, verdict):
            wrong.append(f"{number}: no verdict")
        if verdict.startswith("tested") and not names and not elsewhere:
            wrong.append(f"{number}: no test")
    assert not wrong, "\n".join(wrong)


def test_every_test_of_this_folder_stands_in_the_rows_whose_numbers_it_carries() -> None:
    of_rows, wrong = rows(), []
    for name in sorted(found_here()):
        match = re.fullmatch(TEST_NAME, name)
        if match is None:
            wrong.append(f"{name}: no number")
            continue
        carried = {int(number) for number in match[1].split("_")[1:]}
        standing = {number for number, verdict in of_rows.items() if name in named_in(verdict)[0]}
        if carried != standing:
            wrong.append(f"{name}: stands in rows {sorted(standing)}")
    assert not wrong, "\n".join(wrong)
