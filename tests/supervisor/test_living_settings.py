"""What a generation had goes with it, the first one's settings, too."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.supervisor import living_settings
from tests.support.common import PATIENCE_SECONDS, free_port, links_of, wait_for
from tests.support.supervisor.program import await_serving, greeting, started

HOST = "127.44.9.3"
CONFIGURATION = (
    "defaults\n    mode tcp\n    timeout client 5s\n    timeout server 5s\n    timeout connect 2s\n"
    "listen web\n    bind {host}:{port}\n    server a 127.0.0.1:1\n"
)


@pytest.mark.slow
def test_the_supervisor_keeps_the_settings_of_what_lives(tmp_path: Path) -> None:
    address = (HOST, free_port())
    file = tmp_path / "edge.cfg"
    file.write_text(CONFIGURATION.format(host=HOST, port=address[1]))
    with started(tmp_path, "-f", str(file), script=living_settings.__file__) as program:
        await_serving(address)
        for reloads in range(1, 4):
            program.signal(signal.SIGUSR2)
            done = reloads
            wait_for(lambda done=done: program.text().count("reload done") == done, 15, "a reload")

            def only_one_is_kept() -> bool:
                program.signal(signal.SIGPROF)
                return program.text().rpartition("settings kept: ")[2].strip()[:1] == "1"

            wait_for(only_one_is_kept, 15, "what the former generation had is gone", step=0.2)


def sheets_of_gauges(pid: int) -> int:
    """How often the gauges of all generations have grown."""
    return sum(link.startswith("/memfd:gauges") for link in links_of(pid).values())


@pytest.mark.slow
def test_spare_slots_take_no_more_gauges_with_each_generation_that_lives(tmp_path: Path) -> None:
    address = (HOST, free_port())
    file = tmp_path / "edge.cfg"
    file.write_text(CONFIGURATION.format(host=HOST, port=address[1]))
    with ExitStack() as stack:
        program = stack.enter_context(started(tmp_path, "-f", str(file)))
        await_serving(address)
        before = sheets_of_gauges(program.pid)
        assert before > 0
        for generation in range(1, 4):
            client = stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
            assert greeting(client)[2] == generation
            program.signal(signal.SIGUSR2)
            done = generation
            wait_for(lambda done=done: program.text().count("reload done") == done, 15, "a reload")
        assert sheets_of_gauges(program.pid) == before
