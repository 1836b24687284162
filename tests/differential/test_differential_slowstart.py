"""`slowstart` beside HAProxy: the weights and percentages that `show stat` goes through."""

from __future__ import annotations

import csv
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, listens, wait_for
from tests.support.differential.pair import ROOT, haproxy_command, millrace_command
from tests.support.forking.process import start

pytestmark = pytest.mark.slow

CONFIGURATION = """\
global
    stats socket {folder}/s level admin
    nbthread 1
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
listen edge
    bind 127.0.0.1:{port}
    {balance}
    server a 127.0.0.1:1 weight 10 slowstart 4s
    server b 127.0.0.1:1 weight 10
"""
WATCH_SECONDS = 10.0


def ask(folder: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(folder / "s"))
        client.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: client.recv(65_536), b"")).decode()


def weights(folder: Path) -> tuple[str, str]:
    lines = ask(folder, "show stat").removeprefix("# ").splitlines()
    row = next(row for row in csv.DictReader(lines) if row["svname"] == "a")
    return row["weight"], row["throttle"]


def course(program: tuple[str, ...], folder: Path, balance: str) -> list[tuple[str, str]]:
    """What is shown from the end of a maintenance until nothing is held back any more."""
    folder.mkdir()
    file = folder / "proxy.cfg"
    file.write_text(CONFIGURATION.format(folder=folder, port=free_port(), balance=balance))
    child = start((*program, "-f", str(file), "-db"), cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(folder / "s"), PATIENCE_SECONDS, "it answers")
        found = [weights(folder)]
        ask(folder, "set server edge/a state maint")
        ask(folder, "set server edge/a state ready")
        deadline = time.monotonic() + WATCH_SECONDS
        found.append(weights(folder))
        while found[-1][1] != "" and time.monotonic() < deadline:
            shown = weights(folder)
            if shown != found[-1]:
                found.append(shown)
            time.sleep(0.02)
    finally:
        child.terminate()
        child.wait(PATIENCE_SECONDS)
    return found


WARM_UP = [("10", ""), ("1", "6"), ("4", "31"), ("6", "56"), ("9", "81"), ("10", "")]
FIXED = [("10", ""), ("10", "100"), ("10", "")]  # HAProxy's maps do not warm up


def leaves_out(shown: list[tuple[str, str]], whole: list[tuple[str, str]]) -> bool:
    """Whether these are steps of the whole course in its order, from its first to its last."""
    steps = iter(whole)
    return all(step in steps for step in shown) and (shown[0], shown[-1]) == (whole[0], whole[-1])


@pytest.mark.parametrize(
    ("balance", "whole"), [("balance roundrobin", WARM_UP), ("balance source", FIXED)]
)
def test_a_server_warms_up_in_haproxys_steps(
    tmp_path: Path, balance: str, whole: list[tuple[str, str]]
) -> None:
    """A busy machine may be away for a whole step of one second: a step may go unseen."""
    for name, command in (("haproxy", haproxy_command()), ("millrace", millrace_command())):
        shown = course(command, tmp_path / name, balance)
        assert leaves_out(shown, whole), f"{name}: {shown}"
        assert len(shown) >= 3, f"{name}: {shown}"
