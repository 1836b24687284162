"""Readers of replies and of conditions: inputs grow towards code not yet reached (atheris)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.generated import sample

ROOT = Path(__file__).parent.parent.parent
TARGETS = {  # runs, and the least coverage as libFuzzer counts it: the seeds have less
    "reply_target": (sample(6_000, full=5_000_000), 150),
    "check_target": (sample(4_000, full=2_000_000), 615),
    "expression_target": (sample(700, full=100_000), 1_450),
}


@pytest.mark.lengthy
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_raises_or_is_read_otherwise_the_next_time(
    tmp_path: Path, seed: int, target: str
) -> None:
    runs, coverage_min = TARGETS[target]
    if importlib.util.find_spec("atheris") is None:
        reason = "atheris is not installed (it has wheels for Linux on x86_64)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            f"tests.fuzz.{target}",
            corpus,
            str(runs),
            f"-seed={seed % (1 << 31)}",
        ],
        cwd=tmp_path,  # where it leaves the input that it failed at
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    end = (run.stdout + run.stderr)[-4_000:]
    assert run.returncode == 0, end
    assert f"Done {runs}" in run.stderr, end
    covered = max(int(count) for count in re.findall(r"cov: (\d+)", run.stderr))
    assert covered >= coverage_min, end
