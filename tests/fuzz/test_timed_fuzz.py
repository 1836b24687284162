"""Readers in C under inputs that chance makes, for a time: first bytes, MQTT and FIX, lists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.generated import sample

ROOT = Path(__file__).parent.parent.parent
SECONDS = sample(2, full=600)
TARGETS = ("hello_target", "message_target", "list_target")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_so_long(tmp_path: Path, seed: int, target: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{target}", str(SECONDS), str(seed)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    end = (run.stdout + run.stderr)[-4_000:]
    assert run.returncode == 0, end
    played = re.search(r"^(\d+) inputs$", run.stdout, re.MULTILINE)
    assert played is not None, end
    assert int(played[1]) > 0
