"""One state file, HAProxy and Millrace: what both make of every combination of states.

The configuration is the same for both, the file as well: one server for each combination of
`check`, `disabled`, operational and administrative state. Where Millrace differs on purpose, the
test states both outcomes.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest

from resolverd.state_file.format import HEADER, StateRow, parse, render
from tests.support.common import free_port, wait_for
from tests.support.control.site import ask, haproxy
from tests.support.program.program import Program

STOPPED, RUNNING = 0, 2
IN_PROGRESS = 1  # of a check's state
FMAINT, CMAINT, FDRAIN, RMAINT = 1, 4, 8, 0x20
OUT = FMAINT | CMAINT | RMAINT | 2
MASKS = (0, FMAINT, CMAINT, FMAINT | CMAINT, FDRAIN, CMAINT | FDRAIN, RMAINT, 0x60, 2, 0x10)
ADDRESS = "127.62.1.1"
TOP = 5  # rise 3, fall 3
SHOW = "show servers state be"


class Case(NamedTuple):
    checked: bool
    disabled: bool
    operational: int
    mask: int


CASES = tuple(
    Case(*each)
    for each in itertools.product((False, True), (False, True), (STOPPED, RUNNING), MASKS)
)


def server_line(number: int, case: Case) -> str:
    words = [f"  server s{number} {ADDRESS}:9 weight 10"]
    words += ["check inter 1h rise 3 fall 3"] if case.checked else []
    words += ["disabled"] if case.disabled else []
    return " ".join(words)


def file_row(number: int, case: Case) -> StateRow:
    up = case.operational == RUNNING
    return StateRow(
        *(3, "be", number + 1, f"s{number}", ADDRESS, case.operational, case.mask, 7, 10),
        check_status=6 if up else 8,
        check_result=3 if up else 2,
        check_health=TOP if up else 0,
        check_state=6 if case.checked else 0,
        port=9,
    )


@pytest.mark.slow
def test_every_combination_is_loaded_as_haproxy_loads_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    rows = [render(file_row(number, case), 50) for number, case in enumerate(CASES)]
    state.write_text(HEADER + "".join(rows))
    lines = "\n".join(server_line(number, case) for number, case in enumerate(CASES))
    sections = f"""
  server-state-file {state}
defaults
  mode tcp
  timeout connect 1s
  timeout client 600s
  timeout server 600s
  load-server-state-from-file global
listen l
  bind {ADDRESS}:{free_port()}
backend be
{lines}
"""
    with haproxy(sections, tmp_path) as path:
        theirs = wait_for(lambda: settled(ask(path, SHOW)), 10, "HAProxy's first check has ended")
    with Program(
        tmp_path, f"global\n  nbthread 1\n  stats socket {{socket}} level admin\n{sections}"
    ) as program:
        ours = wait_for(lambda: settled(program.ask(SHOW)), 10, "the first check has ended")
    for number, case in enumerate(CASES):
        compare(case, theirs["be", f"s{number}"], ours["be", f"s{number}"])


def settled(shown: str) -> dict[tuple[str, str], StateRow]:
    """The rows; none while a check goes on: the first of the hour begins at once, and is refused."""
    rows = parse(shown.strip().encode() + b"\n")
    return {} if any(row.check_state & IN_PROGRESS for row in rows.values()) else dict(rows)


def compare(case: Case, theirs: StateRow, ours: StateRow) -> None:
    assert ours.admin == theirs.admin, case
    assert ours.weight == theirs.weight, case
    in_maintenance = bool(theirs.admin & FMAINT)
    if case.checked:
        result = ours.check_status, ours.check_result, ours.check_state
        assert result == (theirs.check_status, theirs.check_result, theirs.check_state), case
    if in_maintenance:
        assert ours.operational == theirs.operational == STOPPED, case
        return
    if case.disabled:  # brought back by the operator: it leaves maintenance
        assert ours.operational == theirs.operational == RUNNING, case
        assert not case.checked or ours.check_health == theirs.check_health, case
        return
    if case.operational == STOPPED and (not case.checked or case.mask & OUT):
        # HAProxy's stays down until a check passes, or for ever
        assert (theirs.operational, ours.operational) == (STOPPED, RUNNING), case
        return
    assert ours.operational == theirs.operational == case.operational, case
    if case.checked:
        assert ours.check_health == theirs.check_health, case
