"""Random two-way transfers, byte by byte: delays, half-closes, resets.

HAProxy is put through the same transfers, so that a rule which no proxy could keep shows up as the
driver's own mistake. MILLRACE_SEED repeats a run.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.model.settings import Timeouts
from tests.support.common import free_port, require_program, wait_for
from tests.support.generated import sample
from tests.support.relay.load import Plan, SidePlan, Transfer, plan_transfers, run_transfers
from tests.support.relay.site import RelayUnderTest

TRANSFERS = sample(1_000, full=20_000)
TIMEOUTS = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000)
HAPROXY = """
defaults
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen transfers
  bind 127.0.0.1:{port}
  server only 127.0.0.1:{server_port}
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where the servers of the transfers listen."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as made:
        yield made


def answering(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_haproxy_passes_what_millrace_is_held_to(listener: socket.socket, tmp_path: Path) -> None:
    port, server_port = free_port(), listener.getsockname()[1]
    file = tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, server_port=server_port))
    with subprocess.Popen([require_program("haproxy"), "-f", str(file), "-db"]) as haproxy:
        try:
            wait_for(lambda: answering(port), 5, "HAProxy's listener")
            failures = run_transfers(("127.0.0.1", port), listener, seed=1, count=200)
        finally:
            haproxy.terminate()
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_two_workers_pass_random_transfers(listener: socket.socket, seed: int) -> None:
    with RelayUnderTest([listener.getsockname()[:2]], workers=2, timeouts=TIMEOUTS) as relay:
        failures = run_transfers(relay.address[:2], listener, seed=seed, count=TRANSFERS)
        wait_for(lambda: relay.counters()["sessions"] == 0, 10, "all sessions ended")
        counters = relay.counters()
    assert not failures, "\n".join(failures)
    assert counters["accepts"] == TRANSFERS
    assert counters["bytes_spliced"] > 0
    assert (counters["pipes_used"], counters["buffer_bytes"]) == (0, 0)


QUIET = SidePlan(((0.0, 100),), False, 0.0, 1_000, None)


def test_the_rules_catch_loss_corruption_and_silence() -> None:
    plan = Plan(3, QUIET, QUIET)
    whole = Transfer(plan)
    whole.client = replace(whole.client, received=108, end="eof")
    whole.server = replace(whole.server, received=104, end="eof")
    assert whole.judge() is None
    for change in ({"received": 107}, {"end": "reset"}, {"end": "late"}, {"wrong_at": 5}):
        assert Transfer(plan, replace(whole.client, **change), whole.server).judge()
        assert Transfer(plan, whole.client, replace(whole.server, **change)).judge()
    resetting = Plan(3, replace(QUIET, resets=True), QUIET)
    cut = replace(whole.server, received=50, end="reset")
    own = replace(whole.client, received=8, end="own reset")
    assert Transfer(resetting, own, cut).judge() is None
    assert Transfer(resetting, own, replace(cut, end="late")).judge()
    assert Transfer(resetting, own, replace(cut, end="not reached")).judge()


def test_a_seed_gives_the_same_transfers_with_every_kind_of_end() -> None:
    plans = plan_transfers(5, 1_000)
    assert plans == plan_transfers(5, 1_000)
    kinds = {(plan.client.resets, plan.server.resets) for plan in plans}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}
