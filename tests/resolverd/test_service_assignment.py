"""SRV answers become attachments: stable, weighed, with former servers and graces; a fake clock."""

from __future__ import annotations

import msgspec
import pytest

from resolverd.assignment.services import Attachment, ServiceAssignment
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import Answer, ServiceRecord, Status
from tests.support.dns.resolution import BOTH, addresses, servers

ONE, TWO, THREE = addresses("127.0.1.1", "127.0.1.2", "127.0.1.3")
(SIX,) = addresses("::1")
HOLDS = Holds(obsolete_ms=2_000, nx_ms=10_000, other_ms=5_000)


def assignment(
    of: int | tuple[ResolvedServer, ...],
    holds: Holds | None = None,
    families: tuple[Family, ...] = BOTH,
) -> ServiceAssignment:
    of_servers = servers(of) if isinstance(of, int) else of
    return ServiceAssignment(of_servers, Family.IPV4, families, holds or Holds())


def said(*services: ServiceRecord, partial: bool = False) -> Answer:
    return Answer(Status.VALID, services=services, partial=partial)


def record(target: str, port: int = 80, weight: int = 1, priority: int = 0) -> ServiceRecord:
    return ServiceRecord(target, port, weight, priority)


def targets(of: ServiceAssignment) -> dict[int, str | None]:
    return {slot: None if each is None else each.target for slot, each in of.slots.items()}


def test_records_take_free_servers_in_order_and_the_surplus_none() -> None:
    pool = assignment(2)
    changes = pool.valid(said(record("a"), record("b"), record("c")), 0)
    assert targets(pool) == {0: "a", 1: "b"}
    assert [change.after for change in changes] == [Attachment("a", 80, 1), Attachment("b", 80, 1)]
    assert (pool.used, pool.missing) == (2, 1)
    assert pool.valid(said(record("c"), record("b"), record("a")), 1_000) == []


def test_a_record_is_target_and_port() -> None:
    pool = assignment(3)
    pool.valid(said(record("a", 80), record("a", 81)), 0)
    (change,) = pool.valid(said(record("a", 81), record("a", 82), record("a", 80)), 1_000)
    assert (change.server.slot, change.after) == (2, Attachment("a", 82, 1))


def test_each_backend_has_every_record() -> None:
    pool = assignment(servers(1) + servers(2, backend=1, first_slot=1))
    pool.valid(said(record("a"), record("b")), 0)
    assert targets(pool) == {0: "a", 1: "a", 2: "b"}
    assert (pool.used, pool.missing) == (3, 1)


def test_a_server_whose_record_is_gone_is_free_and_used_again_last() -> None:
    pool = assignment(3)
    pool.valid(said(record("a"), record("b")), 0)
    (change,) = pool.valid(said(record("b")), 1_000)
    assert (change.server.slot, change.after) == (0, None)
    pool.valid(said(record("b"), record("c")), 2_000)
    assert targets(pool) == {0: None, 1: "b", 2: "c"}


def test_a_record_that_comes_back_gets_its_former_server_if_that_is_free() -> None:
    pool = assignment(4)
    pool.valid(said(record("a"), record("b"), record("c")), 0)
    pool.valid(said(record("c")), 1_000)
    pool.valid(said(record("d"), record("b"), record("a"), record("c")), 2_000)
    assert targets(pool) == {0: "a", 1: "b", 2: "c", 3: "d"}
    pool.valid(said(record("b"), record("c"), record("d")), 3_000)
    pool.valid(said(record("b"), record("c"), record("d"), record("e")), 4_000)
    assert targets(pool) == {0: "e", 1: "b", 2: "c", 3: "d"}
    pool.valid(said(record("c"), record("d"), record("e")), 5_000)
    pool.valid(said(record("a"), record("c"), record("d"), record("e")), 6_000)
    assert targets(pool) == {0: "e", 1: "a", 2: "c", 3: "d"}


def test_hold_obsolete_keeps_a_record_that_is_not_seen() -> None:
    pool = assignment(2, HOLDS)
    pool.valid(said(record("a"), record("b")), 0)
    assert pool.valid(said(record("a")), 2_000) == []
    (change,) = pool.valid(said(record("a")), 2_001)
    assert (change.server.slot, change.after) == (1, None)


@pytest.mark.parametrize(
    ("dns", "server"), [(0, 0), (1, 1), (256, 1), (257, 2), (768, 3), (65_535, 256)]
)
def test_weights_are_scaled_as_haproxy_does(dns: int, server: int) -> None:
    pool = assignment(2)
    pool.valid(said(record("a", weight=dns), record("b", weight=1)), 0)
    assert pool.slots[0] == Attachment("a", 80, server)


def test_an_answer_of_zeros_alone_weighs_one_each() -> None:
    pool = assignment(2, HOLDS)
    pool.valid(said(record("a", weight=0), record("b", weight=0)), 0)
    assert pool.slots == {0: Attachment("a", 80, 1), 1: Attachment("b", 80, 1)}
    pool.valid(said(record("a", weight=0), record("b", weight=512)), 1_000)
    assert pool.slots == {0: Attachment("a", 80, 0), 1: Attachment("b", 80, 2)}
    pool.valid(said(record("a", weight=0)), 1_500)  # b is unseen, but there
    assert pool.slots == {0: Attachment("a", 80, 1), 1: Attachment("b", 80, 2)}


def test_a_server_that_ignores_weights_keeps_its_own() -> None:
    (plain,) = servers(1)
    pool = assignment((msgspec.structs.replace(plain, ignore_weight=True),))
    pool.valid(said(record("a", weight=0)), 0)
    assert pool.slots[0] == Attachment("a", 80, -1)


def test_weight_zero_is_little_where_rfc_2782_says_so() -> None:
    drained, little, fixed = servers(3)
    little = msgspec.structs.replace(little, backend_index=1, rfc_weight=True)
    fixed = msgspec.structs.replace(fixed, backend_index=2, rfc_weight=True, ignore_weight=True)
    pool = assignment((drained, little, fixed))
    for dns, weights in ((0, [0, 1, -1]), (257, [2, 2, -1]), (65_535, [256, 256, -1])):
        pool.valid(said(record("a", weight=dns), record("b", weight=1)), dns)
        assert [each.weight for each in pool.slots.values() if each] == weights


def ranked(of: int | tuple[ResolvedServer, ...], holds: Holds | None = None) -> ServiceAssignment:
    """A pool of servers that follow priorities."""
    plain = servers(of) if isinstance(of, int) else of
    followers = tuple(msgspec.structs.replace(each, srv_priority=True) for each in plain)
    return assignment(followers, holds)


def ranks(of: ServiceAssignment) -> dict[int, str | None]:
    """Target of each slot, in brackets where it is a backup."""
    return {
        slot: None if each is None else f"({each.target})" if each.backup else each.target
        for slot, each in of.slots.items()
    }


def test_the_lowest_priority_number_is_active_and_all_others_are_backups() -> None:
    pool = ranked(4)
    answer = [record("a", priority=20), record("b", priority=10), record("c", priority=30)]
    pool.valid(said(*answer, record("d", priority=10)), 0)
    assert ranks(pool) == {0: "b", 1: "d", 2: "(a)", 3: "(c)"}
    plain = assignment(4)
    plain.valid(said(*answer), 0)
    assert ranks(plain) == {0: "a", 1: "b", 2: "c", 3: None}


def test_another_priority_moves_a_record_between_active_and_backup_in_its_slot() -> None:
    pool = ranked(2)
    pool.valid(said(record("a", priority=10), record("b", priority=20)), 0)
    assert ranks(pool) == {0: "a", 1: "(b)"}
    (change,) = pool.valid(said(record("b", priority=10), record("a", priority=10)), 1)
    assert (change.server.slot, change.before, change.after) == (
        1, Attachment("b", 80, 1, None, True), Attachment("b", 80, 1)
    )  # fmt: skip
    pool.valid(said(record("b", priority=10), record("a", priority=65_535)), 2)
    assert ranks(pool) == {0: "(a)", 1: "b"}
    pool.valid(said(record("a", priority=65_535)), 3)  # the last of its kind is the lowest
    assert ranks(pool) == {0: "a", 1: None}


def test_a_record_that_hold_obsolete_keeps_counts_for_the_lowest_number() -> None:
    pool = ranked(2, HOLDS)
    pool.valid(said(record("a", priority=10), record("b", priority=20)), 0)
    assert pool.valid(said(record("b", priority=20)), 2_000) == []
    pool.valid(said(record("b", priority=20)), 2_001)
    assert ranks(pool) == {0: None, 1: "b"}


def test_few_servers_go_to_low_numbers_and_no_record_loses_its_server() -> None:
    pool = ranked(2)
    pool.valid(said(*[record(target, priority=20) for target in "abc"]), 0)
    assert ranks(pool) == {0: "a", 1: "b"}
    low = record("d", priority=10)
    pool.valid(said(record("a", priority=20), record("b", priority=30), low), 1)
    assert ranks(pool) == {0: "a", 1: "(b)"}  # no server of the backend has 10
    pool.valid(said(record("c", priority=5), record("b", priority=30), low), 2)
    assert ranks(pool) == {0: "c", 1: "(b)"}


def test_servers_of_one_label_may_differ_in_following_priorities() -> None:
    first, second, third = servers(3)
    follows = msgspec.structs.replace(second, srv_priority=True)
    pool = assignment((first, follows, third))
    answer = [record(target, priority=number) for number, target in enumerate("abc")]
    pool.valid(said(*answer), 0)
    assert ranks(pool) == {0: "a", 1: "(b)", 2: "c"}


def test_what_a_predecessor_left_stays_backup_or_active_until_its_record_is_seen() -> None:
    pool = ranked(3, HOLDS)
    pool.adopt(0, Attachment("a", 80, 1), 1_000, 0)
    pool.adopt(1, Attachment("b", 80, 1, None, True), 1_000, 0)
    (change,) = pool.valid(said(record("c", priority=20)), 1_500)
    assert (change.server.slot, ranks(pool)) == (2, {0: "a", 1: "(b)", 2: "c"})
    pool.valid(said(record("a", priority=10), record("c", priority=20)), 2_000)
    assert ranks(pool) == {0: "a", 1: "(b)", 2: "(c)"}
    pool.valid(said(record("a", priority=20), record("b", priority=10)), 2_500)
    assert ranks(pool) == {0: "(a)", 1: "b", 2: "(c)"}


def test_additional_addresses_are_used_and_followed_at_once() -> None:
    pool = assignment(1, HOLDS)
    pool.valid(said(ServiceRecord("a", 80, 1, 0, (ONE,))), 0)
    (change,) = pool.valid(said(ServiceRecord("a", 80, 1, 0, (TWO,))), 1)
    assert change.after == Attachment("a", 80, 1, TWO)
    (change,) = pool.valid(said(record("a")), 2)
    assert change.after == Attachment("a", 80, 1, None)


def test_records_of_one_target_share_its_addresses_in_turn_and_keep_theirs() -> None:
    pool = assignment(4)
    both = (ONE, TWO)
    answer = [ServiceRecord("a", port, 1, 0, both) for port in (1, 2, 3)]
    pool.valid(said(*answer), 0)
    assert [each.address for each in pool.slots.values() if each] == [ONE, TWO, ONE]
    answer = [ServiceRecord("a", port, 1, 0, (THREE, TWO, ONE)) for port in (3, 2, 1)]
    assert pool.valid(said(*answer), 1_000) == []


def test_only_accepted_families_count_the_preferred_first() -> None:
    pool = assignment(1, families=(Family.IPV6,))
    pool.valid(said(ServiceRecord("a", 80, 1, 0, (ONE,))), 0)
    assert pool.slots[0] == Attachment("a", 80, 1, None)
    pool = assignment(2)
    pool.valid(said(*[ServiceRecord("a", port, 1, 0, (SIX, ONE)) for port in (1, 2)]), 0)
    assert [each.address for each in pool.slots.values() if each] == [ONE, ONE]


def test_a_failure_frees_all_after_its_hold() -> None:
    pool = assignment(2, HOLDS)
    pool.valid(said(record("a"), record("b")), 1_000)
    assert pool.failed(Status.NX, 1_000, 10_999) == []
    assert [change.after for change in pool.failed(Status.NX, 1_000, 11_000)] == [None, None]
    assert pool.records == {}
    pool.valid(said(record("b")), 12_000)
    assert targets(pool) == {0: None, 1: "b"}


def test_a_cut_answer_adds_and_removes_only_what_is_long_unseen() -> None:
    pool = assignment(3, HOLDS)
    pool.valid(said(record("a"), record("b")), 0)
    (change,) = pool.valid(said(record("c"), record("a"), partial=True), 4_000, cut_ms=5_000)
    assert change.after == Attachment("c", 80, 1)
    assert pool.valid(said(record("c"), record("a"), partial=True), 5_000, cut_ms=5_000) == []
    (change,) = pool.valid(said(record("c"), record("a"), partial=True), 5_001, cut_ms=5_000)
    assert (change.server.slot, change.after) == (1, None)


def test_what_a_cut_answer_kept_goes_with_the_next_whole_one() -> None:
    pool = assignment(3, Holds(other_ms=30_000))
    pool.valid(said(record("a"), record("b")), 0)
    assert pool.valid(said(record("a"), partial=True), 1_000, cut_ms=30_000) == []
    (change,) = pool.valid(said(record("a")), 2_000)
    assert (change.server.slot, change.after) == (1, None)
    pool.valid(said(record("c"), partial=True), 3_000, cut_ms=30_000)
    (change,) = pool.valid(said(record("a")), 4_000)  # what it brought likewise
    assert (change.before, change.after) == (Attachment("c", 80, 1), None)


def test_restored_servers_are_kept_for_a_round_of_questions_and_no_longer() -> None:
    pool = assignment(3)
    for slot, target in ((2, "a"), (1, "b")):
        pool.adopt(slot, Attachment(target, 80, 1), 1_000, 4_000)
    pool.adopt(0, Attachment("a", 80, 1), 1_000, 4_000)  # the same record twice
    assert targets(pool) == {0: None, 1: "b", 2: "a"}
    assert pool.valid(said(record("a")), 5_000) == []
    (change,) = pool.valid(said(record("a")), 5_001)
    assert (change.server.slot, change.after) == (1, None)


def test_five_thousand_records_are_no_quadratic_matter() -> None:
    many = [record(f"h{number}", number + 1) for number in range(5_000)]
    pool = assignment(5_000)
    pool.valid(said(*many), 0)
    assert pool.used == 5_000
    assert pool.valid(said(*reversed(many)), 1_000) == []
    pool.valid(said(*many[:2_500]), 2_000)
    before = dict(pool.slots)
    pool.valid(said(*many), 3_000)
    assert all(pool.slots[slot] == each for slot, each in before.items() if each)
    assert [each.target for each in pool.slots.values() if each] == [r.target for r in many]


def test_an_address_that_its_target_has_brought_stays_when_the_additional_section_knows_it() -> (
    None
):
    pool = assignment(2)
    pool.valid(said(record("a", 80), record("a", 81)), 0)
    several = [ServiceRecord("a", port, 1, 0, (ONE, TWO, THREE)) for port in (80, 81)]
    pool.valid(said(*several), 1_000, {0: THREE, 1: SIX})
    assert [each and each.address for each in pool.slots.values()] == [THREE, TWO]


def test_a_server_that_joins_takes_a_record_that_has_none() -> None:
    pool = assignment(1)
    first, joined = servers(2)
    assert pool.settle({}) == []
    pool.join(joined)
    assert pool.settle({}) == []  # without an answer nothing is known
    pool.leave(joined.slot)
    pool.valid(said(record("a", weight=0), record("b", weight=0)), 0)
    pool.join(joined)
    (change,) = pool.settle({})
    assert (change.server, change.after) == (joined, Attachment("b", 80, 1))
    assert pool.servers == [first, joined]
    assert pool.settle({}) == []


def test_the_record_of_a_server_that_leaves_goes_to_a_free_one() -> None:
    pool = assignment(3)
    pool.valid(said(record("a"), record("b")), 0)
    pool.leave(0)
    (change,) = pool.settle({})
    assert (change.server.slot, change.after) == (2, Attachment("a", 80, 1))
    pool.leave(2)
    assert pool.settle({}) == []
    assert targets(pool) == {1: "b"}
    assert (pool.used, pool.missing) == (1, 1)


def test_a_backend_whose_last_server_leaves_lacks_nothing() -> None:
    pool = assignment(servers(2) + servers(1, backend=1, first_slot=2))
    pool.valid(said(record("a"), record("b")), 0)
    assert pool.missing == 1
    pool.leave(2)
    assert pool.missing == 0


def test_a_server_that_has_left_gets_no_record_back() -> None:
    pool = assignment(2, Holds(obsolete_ms=0))
    pool.valid(said(record("a"), record("b")), 0)
    pool.valid(said(record("b")), 1)
    pool.leave(0)
    pool.valid(said(record("b"), record("a")), 2)
    assert targets(pool) == {1: "b"}


def test_a_server_that_joins_changes_no_address_of_others() -> None:
    pool = assignment(1)
    pool.valid(said(ServiceRecord("a", 80, 1, 0, (ONE, TWO)), record("b")), 0)
    before = dict(pool.slots)
    pool.join(servers(2)[1])
    assert [change.server.slot for change in pool.settle({})] == [1]
    assert pool.slots[0] == before[0]
