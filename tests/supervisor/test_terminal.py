"""The program serves whatever became of the descriptors that its starter gave it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.terminal import STANDARD_OUTPUT, say
from tests.support.common import PATIENCE_SECONDS
from tests.support.program.program import Program

CONFIGURATION = """
global
    nbthread 1
    stats socket {socket} level admin
"""


def spoilt(redirections: str) -> tuple[str, ...]:
    """The words that execute the words after them with other standard descriptors."""
    return ("bash", "-c", f'exec "$@" {redirections}', "bash")


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirections",
    [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "2> >(exec true)"],
    ids=["no output", "no error", "nothing", "full", "broken pipe"],
)
def test_it_serves_without_a_terminal(tmp_path: Path, redirections: str) -> None:
    wrapper = spoilt(redirections)
    with Program(tmp_path, CONFIGURATION, "-W", wrapper=wrapper) as program:
        for descriptor in ("0", "1", "2"):
            shown = str(Path(f"/proc/{program.process.pid}/fd/{descriptor}").readlink())
            assert not shown.startswith(("socket:", "/memfd:")), shown
        assert "Pid:" in program.ask("show info")


def test_what_a_closed_pipe_does_not_take_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    say("nobody reads this\n", writer)
    os.close(writer)
    say("and this has nowhere to go\n", writer)


def test_a_check_whose_reader_went_away_ends_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "edge.cfg"
    file.write_text("listen web\n    bind 127.0.0.1:1\n    mode tcp\n    server a 127.0.0.1:1\n")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "-c", "-V", "-f", str(file)],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    os.close(writer)
    assert ended.returncode == 0
    assert b"Traceback" not in ended.stderr
    assert b"BrokenPipe" not in ended.stderr


def test_text_of_any_bytes_can_be_said(capfd: pytest.CaptureFixture[str]) -> None:
    say("\udce9 \u00e9\n", STANDARD_OUTPUT)
    assert capfd.readouterr().out == "\\udce9 \u00e9\n"
