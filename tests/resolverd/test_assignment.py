"""Answers become slots: sticky, without repeats, with graces; a fake clock throughout."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.assignment.hosts import AddressChange, Assignment, assign
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import Address, QueryType, Status
from resolverd.resolution.hold_rules import hold_ms, rule
from resolverd.resolution.run_outcomes import TypeOutcome
from shm.states import Cause
from tests.support.dns.resolution import BOTH, addresses, answered, servers

A, B, C, D = addresses("127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4")
(SIX,) = addresses("::1")
HOLDS = Holds(
    valid_ms=1_000,
    obsolete_ms=2_000,
    nx_ms=10_000,
    refused_ms=20_000,
    timeout_ms=30_000,
    other_ms=40_000,
)


def assignment(
    count: int, *held: Address | None, holds: Holds = HOLDS, preferred: Family = Family.IPV4
) -> Assignment:
    return Assignment(servers(count), preferred, holds, dict(enumerate(held)))


def test_answers_fill_free_slots_in_order_and_surplus_is_ignored() -> None:
    pool = assignment(2)
    changes = answered(pool, [A, B, C], 0)
    assert pool.slots == {0: A, 1: B}
    assert [(c.server.slot, c.before, c.after, c.cause) for c in changes] == [
        (0, None, A, Cause.DNS),
        (1, None, B, Cause.DNS),
    ]


def test_a_server_keeps_its_record_whatever_the_order() -> None:
    pool = assignment(3)
    answered(pool, [A, B, C], 0)
    assert answered(pool, [C, B, A], 1_000) == []
    assert pool.slots == {0: A, 1: B, 2: C}


def test_a_record_replaced_goes_only_to_the_slot_that_lost_its_own() -> None:
    pool = assignment(3, holds=Holds())
    answered(pool, [A, B, C], 0)
    (change,) = answered(pool, [D, A, C], 1_000)
    assert (change.server.slot, change.before, change.after) == (1, B, D)


def test_no_record_left_is_no_address_at_once() -> None:
    pool = assignment(3, holds=Holds())
    answered(pool, [A, B, C], 0)
    (change,) = answered(pool, [A, C], 1_000)
    assert (change.server.slot, change.after, change.cause) == (1, None, Cause.NO_RECORD)


def test_hold_obsolete_keeps_an_unseen_record_until_it_has_passed() -> None:
    pool = assignment(2)
    answered(pool, [A, B], 0)
    assert answered(pool, [A], 2_000) == []
    (change,) = answered(pool, [A], 2_001)
    assert (change.server.slot, change.after) == (1, None)


def test_a_record_seen_again_starts_its_hold_anew() -> None:
    pool = assignment(2)
    answered(pool, [A, B], 0)
    answered(pool, [A], 1_500)
    assert pool.records == {A: 1_500, B: 0}
    answered(pool, [B], 3_500)
    assert pool.records == {A: 1_500, B: 3_500}


def test_init_addresses_are_no_records_and_give_way_to_the_first_answer() -> None:
    pool = assignment(3, A, A, D)
    changes = answered(pool, [A, B, C], 0)
    assert pool.slots == {0: A, 1: B, 2: C}
    assert [change.server.slot for change in changes] == [1, 2]


def test_adopted_addresses_are_records_last_seen_then() -> None:
    pool = assignment(2, A, B)
    pool.adopt({A: 500, B: 500})
    assert answered(pool, [A], 2_500) == []
    (change,) = answered(pool, [A], 2_501)
    assert (change.server.slot, change.after) == (1, None)


def test_each_backend_of_a_resolution_may_hold_the_same_address() -> None:
    both = servers(2, backend=0) + servers(2, backend=1, first_slot=2)
    slots = assign(both, {}, [A, B], Family.IPV4)
    assert slots == {0: A, 1: B, 2: A, 3: B}


def test_the_preferred_family_fills_slots_first_but_moves_nobody() -> None:
    pool = assignment(2, holds=HOLDS, preferred=Family.IPV6)
    answered(pool, [A], 0)
    answered(pool, [SIX], 500)
    assert pool.slots == {0: A, 1: SIX}
    assert assign(servers(1), {}, [A, SIX], Family.IPV6) == {0: SIX}


@pytest.mark.parametrize(
    ("status", "hold", "cause"),
    [
        (Status.NX, HOLDS.nx_ms, Cause.NX),
        (Status.REFUSED, HOLDS.refused_ms, Cause.REFUSED),
        (Status.TIMEOUT, HOLDS.timeout_ms, Cause.TIMEOUT),
        (Status.NODATA, HOLDS.other_ms, Cause.OTHER),
        (Status.OTHER, HOLDS.other_ms, Cause.OTHER),
        (Status.TRUNCATED, HOLDS.other_ms, Cause.OTHER),
        (Status.CNAME_ERROR, HOLDS.other_ms, Cause.OTHER),
        (Status.INVALID, HOLDS.other_ms, Cause.OTHER),
    ],
)
def test_a_failure_takes_the_address_when_its_own_hold_has_passed(
    status: Status, hold: int, cause: Cause
) -> None:
    assert hold_ms(HOLDS, status) == hold
    pool = assignment(2)
    answered(pool, [A, B], 1_000)
    assert pool.failed(status, 1_000, 1_000 + hold - 1) == []
    changes = pool.failed(status, 1_000, 1_000 + hold)
    assert [(c.server.slot, c.before, c.after, c.cause) for c in changes] == [
        (0, A, None, cause),
        (1, B, None, cause),
    ]
    assert pool.records == {}
    assert pool.used == 0


def test_hold_obsolete_is_not_looked_at_on_failures() -> None:
    pool = assignment(1)
    answered(pool, [A], 0)
    assert pool.failed(Status.NX, 0, 9_999) == []
    assert pool.slots == {0: A}


def test_hold_valid_plays_no_part_for_servers() -> None:
    pool = assignment(1, holds=Holds(valid_ms=0, obsolete_ms=5_000))
    answered(pool, [A], 0)
    assert answered(pool, [B], 5_000) == []


def options(count: int, **words: object) -> tuple[ResolvedServer, ...]:
    return tuple(msgspec.structs.replace(each, **words) for each in servers(count))


def test_where_duplicates_are_allowed_every_server_has_an_address() -> None:
    shared = options(5, allow_dup_ip=True)
    assert assign(shared, {}, [A, B], Family.IPV4) == {0: A, 1: B, 2: A, 3: B, 4: A}
    held = dict.fromkeys(range(3), A)
    assert assign(shared[:3], held, [A, B], Family.IPV4) == held, "sticky"
    assert assign(shared[:2], {}, [], Family.IPV4) == {0: None, 1: None}


def test_a_better_record_that_is_held_goes_before_a_worse_one_that_is_free() -> None:
    shared = options(2, allow_dup_ip=True)
    assert assign(shared, {}, [SIX, A], Family.IPV4) == {0: A, 1: A}
    assert assign(servers(2), {}, [SIX, A], Family.IPV4) == {0: A, 1: SIX}


def test_networks_come_before_the_order_and_after_the_family() -> None:
    inside = options(3, networks=("127.0.1.3/32", "::/0"))
    assert assign(inside, {}, [A, B, C], Family.IPV4) == {0: C, 1: A, 2: B}
    assert assign(inside[:1], {}, [SIX, A], Family.IPV4) == {0: A}
    assert assign(inside[:1], {}, [A, SIX], Family.IPV6) == {0: SIX}
    assert assign(inside[:1], {0: A}, [A, C], Family.IPV4) == {0: A}, "sticky"


def test_a_network_of_the_other_family_excludes_nothing() -> None:
    assert assign(options(1, networks=("::/0",)), {}, [A], Family.IPV4) == {0: A}


def test_servers_of_one_backend_may_prefer_different_networks() -> None:
    one, other = (*options(1, networks=("127.0.1.2/32",)), options(2, networks=("127.0.1.1",))[1])
    assert assign((one, other), {}, [A, B, C], Family.IPV4) == {0: B, 1: A}


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        assign(options(1, networks=("nonsense",)), {}, [A], Family.IPV4)


def test_servers_join_and_leave() -> None:
    pool = assignment(1)
    answered(pool, [A, B, C], 0)
    late = servers(3)[1:]
    pool.join(late[1], D, 1_000)
    assert pool.slots == {0: A, 2: D}
    (change,) = pool.settle()
    assert (change.server.slot, change.before, change.after) == (2, D, B)
    pool.join(late[0], B, 1_000)
    assert [server.slot for server in pool.servers] == [0, 1, 2]
    (change,) = pool.settle()
    assert (change.server.slot, change.after) == (2, C), "the first in the file keeps it"
    pool.leave(0)
    assert pool.slots == {1: B, 2: C}
    assert pool.failed(Status.NX, 0, 10_999) == []
    assert [change.server.slot for change in pool.failed(Status.NX, 0, 11_000)] == [1, 2]


def test_a_cut_answer_confirms_and_adds_and_removes_what_is_long_unseen() -> None:
    holds = Holds(other_ms=4_000)
    pool = assignment(3, holds=holds)

    def cut(now_ms: int, *found: Address) -> list[AddressChange]:
        outcome = TypeOutcome(QueryType.A, Status.TRUNCATED, found)
        ruling = rule((outcome,), pool.records, holds, dict.fromkeys(BOTH, 0), now_ms, cut_ms=4_000)
        return pool.heard(ruling, now_ms)

    answered(pool, [A, B], 0)
    (change,) = cut(3_000, C, A)
    assert (change.server.slot, change.after) == (2, C)
    assert cut(4_000, A) == []
    (change,) = cut(4_001, A)
    assert (change.server.slot, change.after, change.cause) == (1, None, Cause.NO_RECORD)
    assert cut(6_000, A, C) == []


def test_a_thousand_records_go_to_a_thousand_slots() -> None:
    many = [Address(Family.IPV4, bytes((127, 1, n // 256, n % 256))) for n in range(1_000)]
    pool = assignment(1_000)
    answered(pool, many, 0)
    assert set(pool.slots.values()) == set(many)
    assert answered(pool, list(reversed(many)), 1_000) == []


def test_who_joins_before_the_first_answer_keeps_what_it_has() -> None:
    pool = assignment(1, A)
    pool.adopt({A: 1_000})  # what a predecessor's server held, not all that it knew
    pool.join(servers(2)[1], B, 1_000)
    assert pool.settle() == []
    assert answered(pool, [A, B], 2_000) == []
    pool.join(servers(3)[2], D, 3_000)
    (change,) = pool.settle()
    assert (change.before, change.after) == (D, None)  # now it is known what there is
