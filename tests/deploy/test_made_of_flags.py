"""Manual page and completions are what the table of flags says, and the programs take them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from proxy.flags.__main__ import MADE
from proxy.flags.table import COMMANDS, FLAGS
from tests.support.common import require_program

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", MADE)
def test_the_files_are_what_is_made_of_the_table(name: str) -> None:
    assert (DEPLOY / name).read_text() == MADE[name], "run: make manual"


def test_man_shows_each_flag_without_a_warning() -> None:
    command = [require_program("man"), "--warnings", "-l", DEPLOY / "man/millrace.1"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    for flag in FLAGS:
        assert all(f" {name}" in told.stdout for name in flag.names)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("millrace -d", {"-d", "-db", "-dW", "-dD", "-dr", "-dS", "-dV"}),
        ("millrace sh", {"show", "shutdown"}),
        ("millrace --", {"--against", "--socket", "--timeout", "--help"}),
        ("millrace -f alp", {"alpha.cfg"}),
        ("millrace -C fo", {"folder"}),
        ("millrace -n ", set()),
    ],
)
def test_bash_completes(words: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "alpha.cfg").touch()
    (tmp_path / "folder").mkdir()
    script = f"""
    compopt() {{ :; }}  # outside of a completion it complains
    . {DEPLOY}/completion/millrace.bash
    COMP_WORDS=({words.replace(" ", "' '").join("''")}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _millrace; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    told = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert (set(told.stdout.split()), told.stderr) == (expected, "")


def test_zsh_is_told_of_each_flag_and_command() -> None:
    text = MADE["completion/_millrace"]
    for flag in FLAGS:
        assert all(f"{name}[" in text for name in flag.names)
    assert all(f" {word}" in text or f"({word}" in text for each in COMMANDS for word in each.words)
