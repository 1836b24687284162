"""The code that judges rules for a connection, and counts them, has no way to the GIL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GENERATED = Path(__file__).parents[3] / "build" / "cython" / "proxy" / "relay" / "engine.c"
FUNCTION = re.compile(
    r"^static [^\n;]*\b__pyx_f_(\w+)\([^\n;]*\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
RUNNING = ("5proxy_5relay_4loop_", "5proxy_5relay_6accept_", "3shm_7segment_rule_counter")
ROOMS = (  # of the relay, as the compiler writes the names of modules
    *("5proxy_5relay_5rules_5judge_", "5proxy_5relay_7session_", "5proxy_5relay_9admission_"),
    *("5proxy_5relay_5sides_", "5proxy_5relay_6tables_", "5proxy_5relay_7balance_"),
    *("5proxy_5rules_8evaluate_", "5proxy_5rules_5match_"),
)
ASKS = re.compile(r"PyGILState|PyErr_|\bPy_X?(INC|DEC)REF")


def test_no_function_of_rules_asks_for_the_gil() -> None:
    if not GENERATED.exists():
        pytest.skip("built elsewhere")
    text = GENERATED.read_text()
    bodies = dict(FUNCTION.findall(text))
    judging = {each: body for each, body in bodies.items() if each.startswith(RUNNING + ROOMS)}
    for each in ("judge_next_rule", "judge_rule_sought", "evaluate_condition_judged"):
        assert any(name.endswith(each) for name in judging), each
    assert "3shm_7segment_rule_counter" in judging
    assert ASKS.search(text), "the methods of its class do"
    assert [each for each, body in judging.items() if ASKS.search(body)] == []
