"""The loads that kill a worker, and those of idle connections: what they do to real programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.backend import web_backend
from loadtest.instance import started
from loadtest.killed import BESIDE_CLIENTS, kill_beside_others, workers
from loadtest.loads import IDLE_CONNECTIONS
from loadtest.programs import Missing, Setup, find_program, haproxy_configuration
from loadtest.site import idle_connections, make_site
from tests.support.common import PATIENCE_SECONDS, require_program
from tests.support.control.site import ask


@pytest.mark.slow
def test_one_worker_of_two_is_killed_amid_the_traffic() -> None:
    """Its sibling lives on, and every client before and after the kill is served."""
    require_program("nginx")
    program, site = find_program("millrace"), make_site()
    assert not isinstance(program, Missing)
    seen: list[list[int]] = []
    with web_backend(site), started(program, site, Setup(workers=2)) as instance:

        @contextmanager
        def traffic() -> Iterator[None]:
            seen.append(workers(instance.pid))
            yield
            seen.append(workers(instance.pid))

        before, after = kill_beside_others(instance, site.web.front, 1, traffic)
        sessions = sessions_of_web(instance.stats_socket)
    first, second = seen
    assert len(first) == 2
    assert first[0] not in second
    assert first[1] in second
    assert (len(before), len(after)) == (1, 1)
    assert sessions >= 2 * BESIDE_CLIENTS + 1  # and one that found the program started


def sessions_of_web(stats_socket: Path) -> int:
    """Of the section with the small answers, since the start."""
    head, *lines = ask(stats_socket, "show stat").splitlines()
    place = head.split(",").index("stot")
    return next(int(line.split(",")[place]) for line in lines if line.startswith("web,FRONTEND,"))


@pytest.mark.slow
def test_loads_of_kills_and_of_idle_connections_work_through_millrace(tmp_path: Path) -> None:
    for program in ("nginx", "wrk"):
        require_program(program)
    raw = tmp_path / "raw.json"
    command = [sys.executable, "-m", "loadtest", "--rounds", "1", "--seconds", "1", "--only",
               "killed2busy,idle,idletracked", "--programs", "millrace",
               "--json", str(raw)]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS, check=False
    )
    content = json.loads(raw.read_text())
    assert content["failures"] == [], done.stderr
    samples = {load: rounds["millrace"][0] for load, rounds in content["samples"].items()}
    killed = samples["killed2busy"]
    assert killed["units"] == 2
    assert 0 < killed["gap_p50_ms"] <= killed["gap_p99_ms"]
    assert killed["before_p50_ms"] > 0
    plain, tracked = samples["idle"], samples["idletracked"]
    assert plain["units"] == tracked["units"] == idle_connections(make_site(), IDLE_CONNECTIONS)
    assert 100 < plain["bytes_per_connection"] < tracked["bytes_per_connection"] < 1_000


def test_rules_of_idle_connections_stand_in_their_section_only(tmp_path: Path) -> None:
    rule = "tcp-request connection track-sc0 src"
    text = haproxy_configuration(make_site(), Setup(idle_rules=(rule,)), tmp_path)
    sections = text.split("listen ")
    assert [section.split()[0] for section in sections if rule in section] == ["idle"]
