"""`mworker-max-reloads` over an upgrade: sessions of generations of both programs come of age."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests.builds.test_upgrade import DONE, VERSION, Edge, echoes
from tests.support.common import PATIENCE_SECONDS
from tests.support.program.installed import Installed

pytestmark = pytest.mark.slow

RELOADED = "reload done"


def is_cut(session: socket.socket) -> bool:
    session.settimeout(PATIENCE_SECONDS)
    with contextlib.suppress(ConnectionError):
        return session.recv(1) == b""
    return True


def ended(limit: int, generation: int, behind: int) -> str:
    return (
        f"mworker-max-reloads {limit}: ending 1 sessions of generation {generation}, which is "
        f"{behind} reloads old"
    )


def test_each_generation_ends_when_it_is_too_old_whoever_looks_after_it(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed, "mworker-max-reloads 2")
        sessions = [edge.session()]
        for _ in range(2):
            edge.reload(RELOADED)
            sessions.append(edge.session())
        assert all(map(echoes, sessions))
        installed.change(VERSION)
        edge.reload(DONE)
        sessions.append(edge.session())
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
