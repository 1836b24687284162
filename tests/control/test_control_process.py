"""The process itself: readiness, heartbeat, signals, one writer, and a large table."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Check, Origin, Proxy
from proxy.runtime import now_ms
from proxy.supervisor.limits import STALE_AFTER_MS
from tests.support.common import wait_for
from tests.support.control.http import get
from tests.support.control.sections import metrics_on
from tests.support.control.site import World, a_server, control_world


def small() -> list[Proxy]:
    return [Proxy("be", 2, "backend", Origin(), servers=(a_server("s1", "127.78.6.1", 80),))]


def ended(pid: int) -> tuple[int, int] | None:
    """What waitpid says of a process, None while it runs."""
    answer = os.waitpid(pid, os.WNOHANG)
    return answer if answer[0] else None


def beat_age(world: World) -> int:
    status = world.board.status(world.segment.shape.control_process)
    return now_ms() - status.main_beat_ms


def test_the_heart_beats_and_sigterm_ends_it_at_once() -> None:
    with control_world(small()) as world:
        first = world.board.status(world.segment.shape.control_process).main_beat_ms
        wait_for(lambda: beat_age(world) < now_ms() - first, 2, "another beat")
        status = world.kill(signal.SIGTERM)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGTERM


def test_its_own_pid_is_told_before_the_supervisor_has_written_it() -> None:
    with control_world(small()) as world:
        world.board.ended(world.segment.shape.control_process)
        line = world.ask("show proc debug").splitlines()[3].split()
        assert (line[0], line[6]) == (str(world.pid), "1")


def test_a_second_writer_of_admin_records_does_not_start() -> None:
    with control_world(small()) as world:
        second = world.fork()
        try:
            pid, status = wait_for(lambda: ended(second), 10, "the second one gives up")
        except BaseException:
            os.kill(second, signal.SIGKILL)
            raise
        assert pid == second
        assert os.waitstatus_to_exitcode(status) == 1
        assert "writer role 1 is held by another process" in world.logged()
        assert world.ask("show backend") == "# name\nbe\n\n"


@pytest.mark.slow
@pytest.mark.alone
def test_a_large_table_is_served_while_heartbeats_come() -> None:
    servers = tuple(
        a_server(f"s{number}", "127.78.6.1", 80, check=Check()) for number in range(10_000)
    )
    proxies = [
        Proxy("be", 2, "backend", Origin(), servers=servers),
        Proxy(
            "stats",
            3,
            "frontend",
            Origin(),
            http=metrics_on("/metrics", page=StatsPage("/haproxy?stats")),
        ),
    ]
    with control_world(proxies) as world:
        oldest = 0
        done = threading.Event()

        def scrape() -> None:
            for path in ("/metrics", "/haproxy?stats", "/haproxy?stats;csv"):
                assert get(world, "stats", path).status == 200
            assert world.ask("show stat").count("\nbe,s") == 10_000
            done.set()

        reader = threading.Thread(target=scrape)
        reader.start()
        while not done.wait(0.02) and reader.is_alive():
            oldest = max(oldest, beat_age(world))
        reader.join()
        assert done.is_set()
        assert 0 < oldest < STALE_AFTER_MS  # by then the supervisor takes it for hanging
