"""One connect at a time: how it ends, and what that says."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
from contextlib import suppress

from proxy.health.check import Connects, Plan
from proxy.health.judgement import Outcome
from proxy.health.target import CheckTarget, Limits
from shm.check_status import CheckStatus
from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.relay.worker import (
    Backend,
)


def test_connects_tell_passed_refused_and_timed_out_apart() -> None:
    good, full = Backend().open(), Backend().fill()
    connects = Connects()
    try:
        targets = {
            1: CheckTarget(good.host, good.port),
            2: CheckTarget("127.0.0.1", free_port()),
            3: CheckTarget(full.host, full.port),
        }
        for slot, target in targets.items():
            assert not isinstance(connects.begin(slot, Plan(target, Limits(80))), Outcome)
        found = {}
        for _ in range(2):
            assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
            found |= {attempt.slot: outcome for attempt, outcome in connects.ended(9)}
            if len(found) == 2:
                break
        assert found[1].status is CheckStatus.L4OK
        assert (found[2].status, found[2].code) == (CheckStatus.L4CON, errno.ECONNREFUSED)
        deadline_ms = connects.next_deadline_ms()
        assert deadline_ms is not None
        assert connects.expired(deadline_ms - 1, 9) == []
        [(attempt, outcome)] = connects.expired(deadline_ms, 9)
        assert (attempt.slot, outcome.status) == (3, CheckStatus.L4TOUT)
        assert len(connects) == 0
    finally:
        connects.close()
        good.close()
        full.close()


def test_a_check_over_ipv6_passes() -> None:
    listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    connects = Connects()
    begun = connects.begin(1, Plan(CheckTarget("::1", listening.getsockname()[1]), Limits(1_000)))
    assert not isinstance(begun, Outcome)
    assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
    [(_, outcome)] = connects.ended(9)
    assert outcome.status is CheckStatus.L4OK
    connects.close()
    listening.close()


def test_a_lack_of_descriptors_is_no_verdict_on_the_server() -> None:
    connects = Connects()
    spare = [os.open("/dev/null", os.O_RDONLY)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare[0] + 1, hard))
        with suppress(OSError):  # fill the gaps below the limit
            while True:
                spare.append(os.open("/dev/null", os.O_RDONLY))
        begun = connects.begin(1, Plan(CheckTarget("127.0.0.1", 9), Limits(100)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare:
            os.close(descriptor)
        connects.close()
    assert isinstance(begun, Outcome)
    assert (begun.status, begun.code) == (CheckStatus.SOCKERR, errno.EMFILE)


def test_deadlines_come_in_their_order_and_portions_and_ended_connects_have_none() -> None:
    good, full = Backend().open(), Backend().fill()
    connects = Connects()
    limits = {slot: 10_000 + slot * 37 % 400 for slot in range(400)}
    for slot, limit_ms in limits.items():
        there = good if slot % 2 else full
        begun = connects.begin(slot, Plan(CheckTarget(there.host, there.port), Limits(limit_ms)))
        assert not isinstance(begun, Outcome)
    ended: list[int] = []
    while len(ended) < 200:
        assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
        part = connects.ended(30)
        assert len(part) <= 30
        ended += [attempt.slot for attempt, _ in part]
    assert sorted(ended) == list(range(1, 400, 2))
    expired: list[tuple[int, int]] = []
    while (deadline_ms := connects.next_deadline_ms()) is not None:
        part = connects.expired(deadline_ms + 20, 9)
        assert 1 <= len(part) <= 9
        expired += [(attempt.deadline_ms, attempt.slot) for attempt, _ in part]
    assert expired == sorted(expired, key=lambda each: each[0])
    assert sorted(slot for _, slot in expired) == list(range(0, 400, 2))
    assert len(connects) == 0
    connects.close()
    good.close()
    full.close()
