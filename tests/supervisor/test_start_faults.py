"""Whatever a start meets, at whichever of its calls: an ALERT and status 1, and no traceback."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program
from tests.support.generated import sample
from tests.support.supervisor.program import ROOT

pytestmark = pytest.mark.slow  # starts the program many times
HOST = "127.44.8.3"
PARTS = 2
SCRIPT = str(ROOT / "tests/supervisor/start_faults.py")
SHORT_STEP = 226  # of the cases, in the short run
CONFIGURATION = """
global
    nbthread 2
    stats socket {folder}/s.sock
    log 127.0.0.1:1 local0
    server-state-file {folder}/state
resolvers r
    nameserver n 127.0.0.1:1
defaults
    mode tcp
    log global
    load-server-state-from-file global
    timeout client 30s
    timeout server 30s
    timeout connect 1s
listen web
    bind {host}:{port}
    server-template a 3 localhost:1 resolvers r
    server b 127.0.0.1:1
    server c localhost:1
"""
MEGABYTES = (16, 24, 32)  # of private memory: none is enough to read the many servers
FLAGS = {"-c": MEGABYTES, "-D": (24,), "-db": (24,)}  # all read them in the same way
MANY = 20_000


def wrong(status: int, output: str) -> bool:
    """Whether a start ended otherwise than with success or an ALERT."""
    if "Traceback" in output:
        return True
    return status != 0 and (status != 1 or "[ALERT]" not in output)


@pytest.mark.parametrize("part", range(PARTS))
def test_any_error_at_any_call_is_an_alert(tmp_path: Path, part: int, seed: int) -> None:
    file = tmp_path / "edge.cfg"
    file.write_text(CONFIGURATION.format(folder=tmp_path, host=HOST, port=free_port()))
    step = sample(SHORT_STEP * PARTS, PARTS)
    first = random.Random(seed).randrange(SHORT_STEP) * PARTS + part if step > PARTS else part
    command = [sys.executable, SCRIPT, str(tmp_path), str(first), str(step), "100000", str(file)]
    played = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=sample(5, 160) * PATIENCE_SECONDS,
    )
    (_, status, output), *cases = map(json.loads, played.stdout.decode().splitlines())
    assert status == 0, output
    assert len(cases) > 10
    bad = [f"{what}: {status} {output}" for what, status, output in cases if wrong(status, output)]
    assert not bad, "\n".join(bad)
    assert sum(status == 1 for _, status, _ in cases) > len(cases) // 2


@pytest.mark.parametrize("flag", FLAGS)
def test_a_start_without_memory_says_so(tmp_path: Path, flag: str) -> None:
    many = "".join(f"    server m{number} 127.0.0.1:1\n" for number in range(MANY))
    file = tmp_path / "edge.cfg"
    text = CONFIGURATION.format(folder=tmp_path, host=HOST, port=free_port())
    file.write_text(text + many)
    for megabytes in FLAGS[flag]:
        ended = subprocess.run(
            [
                *(require_program("prlimit"), f"--data={megabytes << 20}"),
                *(sys.executable, "-m", "proxy", "-f", str(file), flag),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        told = ended.stderr.decode()
        assert (ended.returncode, wrong(ended.returncode, told)) == (1, False), told
        assert "out of memory" in told or "allow more memory" in told
