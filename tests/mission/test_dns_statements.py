"""The page of statements about DNS names every statement once, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "dns-statements.md"
STATEMENTS = [f"S{number}" for number in range(1, 64)] + [f"O{number}" for number in range(1, 8)]


def rows() -> list[list[str]]:
    """The cells of each row about a statement."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if re.match(r"\| [SO][0-9]+ \|", line)
    ]


def names_in(file: Path) -> set[str]:
    """Functions and scenarios (names in capitals) of a test file."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_every_statement_has_one_row() -> None:
    assert [row[0] for row in rows()] == STATEMENTS


def test_every_row_has_a_statement_tests_that_exist_and_a_result() -> None:
    missing = []
    for number, statement, tests, result in rows():
        named = re.findall(r"`(tests/\S+\.py)::(\w+)`", tests + result)
        if not (statement and named and re.match("same|differs", result)):
            missing.append(f"{number}: nothing said")
        for path, name in named:
            file = ROOT / path
            known = names_in(file) if file.is_file() else set()
            if name not in known or not (name.startswith("test_") or name.isupper()):
                missing.append(f"{number}: {path}::{name}")
    assert not missing, "\n".join(missing)


def test_every_rule_that_a_result_names_is_told() -> None:
    page = PAGE.read_text(encoding="utf-8")
    told = set(re.findall(r"^\| (M[0-9]+) \|", page, re.MULTILINE))
    used = {rule for row in rows() for rule in re.findall(r"\bM[0-9]+\b", row[3])}
    assert used == told
