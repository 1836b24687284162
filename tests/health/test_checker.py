"""Real checks of real listeners, by a forked process that publishes into a real segment."""

from __future__ import annotations

import errno
import os
import select
import time

import msgspec

from proxy.config.model.settings import Check, Timeouts
from proxy.health.rise_fall import PAUSED
from proxy.runtime import now_ms
from shm.check_status import CheckStatus
from shm.requests import RequestReader
from shm.states import AdminFlag, Operational
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.relay.worker import (
    QUICK,
    Backend,
    Spec,
    checking,
    run_checker,
    settings_of,
    site,
    wait_operational,
)


def test_a_server_goes_down_and_comes_up_with_the_lines_that_tools_know() -> None:
    backend = Backend("127.77.0.1").open()
    with site(settings_of([Spec(backend.host, backend.port)])) as made:
        checking(made)
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        backend.close()
        wait_operational(made, 0, Operational.STOPPED)
        for bell in (made.runtime.bells.control, made.runtime.bells.relays[0]):
            assert select.select([bell], [], [], PATIENCE_SECONDS)[0]
        assert (made.health(0).status, made.health(0).code) == (8, errno.ECONNREFUSED)
        assert made.health(0).failures == QUICK.fall
        assert not made.reader.server(0).eligible
        backend.open()
        wait_operational(made, 0, Operational.RUNNING)
        assert made.reader.server(0).eligible
        wait_for(lambda: len(made.log.read()) == 3, 5, "log lines")
        down, empty, up = made.log.read()
        assert down.startswith(
            '1 Server be/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused"'
            ", check duration: "
        )
        assert down.endswith(
            "ms. 0 active and 0 backup servers left."
            " 0 sessions active, 0 requeued, 0 remaining in queue."
        )
        assert empty == "0 proxy be has no server available!"
        assert up.startswith("5 Server be/s1 is UP, reason: Layer4 check passed, check duration: ")
        assert up.endswith(
            "ms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
        )
    backend.close()


def test_a_check_that_times_out_asks_for_a_resolution_and_says_when_it_began() -> None:
    backend = Backend("127.77.0.2").fill()
    check = Check(inter_ms=150, rise=2, fall=2)
    spec = Spec(backend.host, backend.port, check, resolution=0)
    with site(settings_of([spec])) as made:
        requests = RequestReader(made.segment)
        before_ms = time.monotonic_ns() // 1_000_000
        checking(made)
        assert select.select([made.runtime.bells.resolverd], [], [], PATIENCE_SECONDS)[0]
        [failure] = requests.changes()
        assert (failure.slot, failure.refusals) == (0, 0)
        assert failure.timeouts >= 1
        assert before_ms <= failure.began_ms <= time.monotonic_ns() // 1_000_000 - 140
        assert (made.health(0).status, made.health(0).result) == (CheckStatus.L4TOUT, 2)
        assert made.health(0).duration_us >= 140_000
    backend.close()


def test_a_refused_check_asks_for_a_resolution_where_there_is_one() -> None:
    numeric = Spec("127.77.0.3", free_port())
    resolved = msgspec.structs.replace(numeric, resolution=0)
    with site(settings_of([resolved, numeric])) as made:
        requests = RequestReader(made.segment)
        checking(made)
        assert select.select([made.runtime.bells.resolverd], [], [], PATIENCE_SECONDS)[0]
        wait_operational(made, 1, Operational.STOPPED)
        [failure] = requests.changes()
        assert (failure.slot, failure.timeouts, failure.began_ms) == (0, 0, 0)
        assert failure.refusals >= 1


def test_timeout_check_bounds_the_connect_by_timeout_connect() -> None:
    backend = Backend("127.77.0.4").fill()
    check = Check(inter_ms=5_000, fastinter_ms=1, timeout_check_ms=10)
    timeouts = Timeouts(connect_ms=60)
    with site(settings_of([Spec(backend.host, backend.port, check)], timeouts=timeouts)) as made:
        checking(made)
        wait_operational(made, 0, Operational.STOPPED)
        assert made.health(0).duration_us >= 55_000
    backend.close()


def test_port_and_address_of_the_check_are_used_instead_of_the_servers() -> None:
    backend = Backend("127.77.0.5").open()
    elsewhere = Check(inter_ms=100, address="127.77.0.5", port=backend.port)
    with site(settings_of([Spec("127.77.0.6", 1, elsewhere)])) as made:
        checking(made)
        wait_for(lambda: made.health(0).status == CheckStatus.L4OK, 5, "passed")
    backend.close()


def test_maintenance_pauses_checks_and_leaving_it_starts_anew() -> None:
    with site(settings_of([Spec("127.77.0.7", free_port())])) as made:
        checking(made)
        wait_operational(made, 0, Operational.STOPPED)
        made.administer(0, AdminFlag.FMAINT)
        wait_for(lambda: made.health(0).check_state == PAUSED, 5, "paused")
        checked_ms = made.health(0).checked_ms
        time.sleep(3 * QUICK.inter_ms / 1000)  # no event says that nothing happened
        assert made.health(0).checked_ms == checked_ms
        assert made.health(0).operational == Operational.RUNNING
        made.administer(0, AdminFlag(0))
        wait_operational(made, 0, Operational.STOPPED)
        assert made.health(0).failures == 2
        assert made.health(0).downs == 2


def test_a_drained_server_is_still_checked() -> None:
    backend = Backend("127.77.0.8").open()
    with site(settings_of([Spec(backend.host, backend.port)])) as made:
        made.administer(0, AdminFlag.FDRAIN)
        checking(made)
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        backend.close()
        wait_operational(made, 0, Operational.STOPPED)
        wait_for(lambda: len(made.log.read()) == 2, 5, "log lines")
        down, drained = made.log.read()  # it took no sessions: no "no server available"
        assert "Server be/s1 is DOWN, " in down
        assert drained.endswith("Server be/s1 remains in forced drain mode.")


def test_a_server_that_resolves_again_is_up_at_once_and_checked_at_its_new_address() -> None:
    backend = Backend("127.77.0.9").open()
    with site(settings_of([Spec("127.77.0.10", backend.port)])) as made:
        checking(made)
        wait_operational(made, 0, Operational.STOPPED)
        made.move(0, None, backend.port)
        wait_for(lambda: made.health(0).check_state == PAUSED, 5, "paused")
        assert not made.reader.server(0).eligible
        made.move(0, "127.77.0.9", backend.port)
        assert made.reader.server(0).eligible
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        assert made.health(0).incarnation == 2
    backend.close()


def test_another_address_keeps_the_health_and_drops_the_check_under_way() -> None:
    full, good = Backend("127.77.0.11").fill(), Backend("127.77.0.12")
    good.port = full.port
    good.open()
    check = Check(inter_ms=2_000, rise=1, fall=1)
    with site(settings_of([Spec(full.host, full.port, check)])) as made:
        checking(made)
        wait_for(lambda: made.health(0).check_state & 1, 5, "a check under way")
        began_ms = now_ms()
        made.move(0, good.host, good.port)
        wait_for(lambda: made.health(0).generation == 2, 5, "the new address seen")
        wait_for(lambda: made.health(0).checked_ms > began_ms + 2_050, 15, "past the old deadline")
        assert (made.health(0).operational, made.health(0).failures) == (Operational.RUNNING, 0)
    full.close()
    good.close()


def test_an_outcome_is_dropped_when_the_server_moved_and_nobody_rang() -> None:
    full = Backend("127.77.0.22").fill()
    check = Check(inter_ms=150, rise=1, fall=1)
    with site(settings_of([Spec(full.host, full.port, check)])) as made:
        checking(made)
        wait_for(lambda: made.health(0).check_state & 1, 5, "a check under way")
        made.slots.publish(0, full.host, full.port + 1, now_ms=0)
        wait_for(lambda: made.health(0).generation == 2, 5, "the new address seen")
        assert (made.health(0).failures, made.health(0).operational) == (0, Operational.RUNNING)
    full.close()


def test_a_check_does_not_wake_the_servers_application() -> None:
    backend = Backend("127.77.0.23").open()
    with site(settings_of([Spec(backend.host, backend.port)])) as made:
        checking(made)
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        assert not backend.has_client()
    backend.close()


def test_a_restarted_worker_carries_on_from_the_records() -> None:
    backend = Backend("127.77.0.13").open()
    refused = Spec("127.77.0.14", free_port())
    with site(settings_of([Spec(backend.host, backend.port), refused])) as made:
        checking(made)
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        wait_operational(made, 1, Operational.STOPPED)
        made.kill(0)
        before = [made.health(slot) for slot in (0, 1)]
        made.fork(0, run_checker)
        wait_for(lambda: made.health(1).checked_ms > before[1].checked_ms, 5, "checked again")
        after = [made.health(slot) for slot in (0, 1)]
        assert after[0].health == 4
        assert after[1].incarnation == before[1].incarnation
        assert after[1].operational == before[1].operational
        assert (after[1].downs, after[1].changed_ms) == (before[1].downs, before[1].changed_ms)
        assert os.waitpid(made.pids[0], os.WNOHANG) == (0, 0)
    backend.close()


def test_backup_servers_and_counts_are_told() -> None:
    backup = Backend("127.77.0.15").open()
    specs = [
        Spec("127.77.0.16", free_port()),
        Spec(backup.host, backup.port, backup=True),
    ]
    with site(settings_of(specs, kind="backend")) as made:
        checking(made)
        wait_for(made.log.read, 5, "log line")
        backup.close()
        wait_for(lambda: len(made.log.read()) == 3, 5, "log lines")
        first, second, third = made.log.read()
        assert "0 active and 1 backup servers left. Running on backup. 0 sessions" in first
        assert second.startswith("1 Backup Server be/s2 is DOWN, reason: Layer4 connection problem")
        assert third == "0 backend be has no server available!"
