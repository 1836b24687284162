"""Sessions of the former program after an upgrade: they are shown, and `mworker-max-reloads` holds."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.builds.test_upgrade import DONE, VERSION, Edge, echoes
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.program.installed import Installed

pytestmark = pytest.mark.slow

RELOADED = "reload done"


SHOWN = re.compile(r" src=[\d.]+:(\d+) .* generation=1$", re.MULTILINE)


def await_fact(edge: Edge, name: str, value: str) -> None:
    wait_for(lambda: edge.fact(name) == value, PATIENCE_SECONDS, f"{name}: {value}")


def kill(edge: Edge, kind: str) -> None:
    [killed] = edge.program.children()[kind]
    os.kill(killed, signal.SIGKILL)
    wait_for(
        lambda: edge.program.children().get(kind, [killed]) != [killed],
        PATIENCE_SECONDS,
        "a successor",
    )
    edge.program.wait_until_answering()


def segments_of(pid: int) -> int:
    """How many segments a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count("/memfd:millrace ")


def is_cut(session: socket.socket) -> bool:
    session.settimeout(PATIENCE_SECONDS)
    with contextlib.suppress(ConnectionError):
        return session.recv(1) == b""
    return True


def session_of_the_present(edge: Edge) -> socket.socket:
    """One of the generation that serves: a former one may still take clients for a moment."""
    while True:
        before = conns(edge)
        session = edge.session()
        wait_for(lambda: sum(conns(edge)) > sum(before), PATIENCE_SECONDS, "it is counted")  # noqa: B023 - called at once
        if conns(edge)[0] > before[0]:
            return session
        session.close()
        wait_for(lambda: sum(conns(edge)) == sum(before), PATIENCE_SECONDS, "its end")  # noqa: B023 - likewise


def conns(edge: Edge) -> tuple[int, int]:
    """Sessions of the generation that serves, and of all former ones."""
    return int(edge.fact("CurrConns")), int(edge.fact("OldConns"))


def ended(limit: int, generation: int, behind: int) -> str:
    return (
        f"mworker-max-reloads {limit}: ending 1 sessions of generation {generation}, which is "
        f"{behind} reloads old"
    )


def test_each_generation_ends_when_it_is_too_old_whoever_looks_after_it(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed, "mworker-max-reloads 2")
        sessions = [session_of_the_present(edge)]
        for _ in range(2):
            edge.reload(RELOADED)
            sessions.append(session_of_the_present(edge))
        assert all(map(echoes, sessions))
        installed.change(VERSION)
        edge.reload(DONE)
        sessions.append(session_of_the_present(edge))
        assert is_cut(sessions[0])
        assert all(map(echoes, sessions[1:]))
        edge.await_more((ended(2, 1, 3),), 0)
        for number in (1, 2):  # in the steward's memory, and that which it was itself
            edge.reload(RELOADED)
            assert is_cut(sessions[number])
            assert all(map(echoes, sessions[number + 1 :]))
        edge.await_more((ended(2, 2, 3),), 0)
        edge.await_more((ended(2, 3, 3),), 0)
        assert "Traceback" not in edge.told


def test_none_outlives_an_upgrade_where_no_reload_may_be_between(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed, "mworker-max-reloads 0")
        session = edge.session()
        installed.change(VERSION)
        edge.reload(DONE)
        assert is_cut(session)
        edge.await_more((ended(0, 1, 1),), 0)
        assert echoes(edge.session())


def test_they_are_shown_and_ended_by_order_as_after_a_reload(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed)
        first, second = edge.session(), edge.session()
        installed.change(VERSION)
        edge.reload(DONE)
        own = session_of_the_present(edge)
        await_fact(edge, "OldConns", "2")
        assert edge.fact("CurrConns") == "1"
        old = edge.program.ask("show proc").partition("# old workers\n")[2].split()
        assert old[1] == "worker"
        pid, sessions = int(old[0]), edge.program.ask("show sess")
        shown = {*map(int, SHOWN.findall(sessions))}
        assert shown == {each.getsockname()[1] for each in (first, second)}
        kill(edge, "control")
        await_fact(edge, "OldConns", "2")
        [number] = re.findall(rf"(0x\w+): .* src=\S+:{first.getsockname()[1]} ", sessions)
        edge.program.ask(f"shutdown session {number}")
        assert is_cut(first)
        assert echoes(second)
        await_fact(edge, "OldConns", "1")
        edge.reload(RELOADED)
        await_fact(edge, "OldConns", "2")
        edge.program.ask("shutdown sessions server web/a")
        assert all(map(is_cut, (second, own)))
        await_fact(edge, "OldGenerations", "0")
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE_SECONDS, "it has ended")
        [control] = edge.program.children()["control"]
        wait_for(lambda: segments_of(control) == 1, PATIENCE_SECONDS, "nothing is left of them")
        assert "Traceback" not in edge.told
