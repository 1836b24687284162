"""What counts as agreement: the rules that every comparison with the oracle rests on."""

from __future__ import annotations

import pytest

from tests.support.differential.timeline import Period, Snapshot, Timeline, agree, parse_states

HEADER = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_fqdn srv_port srv_uweight"


def one(address: str, operational: int = 2, administrative: int = 0) -> Snapshot:
    return (("be", ((address, 80, operational, administrative, 1),)),)


def periods(*changes: tuple[float, Snapshot], until: float = 10.0) -> list[Period]:
    ends = [begin for begin, _ in changes[1:]] + [until]
    return [Period(begin, end, shown) for (begin, shown), end in zip(changes, ends, strict=True)]


FIRST, SECOND, LOST = one("NET.1"), one("NET.2"), one("-", 0, 32)


def test_slots_are_compared_as_sets_per_backend() -> None:
    lines = ["1 be 1 s1 10.0.0.2 2 0 app.test 80 1", "1 be 2 s2 10.0.0.1 0 32 app.test 80 1"]
    text = "\n".join(["1", HEADER, *lines])
    other = "\n".join(["1", HEADER, "2 zz 1 s1 - 0 32 - 0 1", *reversed(lines)])
    assert parse_states(text) == (("be", (("10.0.0.1", 80, 0, 32, 1), ("10.0.0.2", 80, 2, 0, 1))),)
    assert parse_states(other)[0] == parse_states(text)[0]


def test_an_answer_that_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="no server state"):
        parse_states("Unknown command\n")


def test_a_timeline_keeps_changes_only() -> None:
    timeline = Timeline("p")
    for now, shown in ((0.0, FIRST), (0.1, FIRST), (0.2, SECOND), (0.9, SECOND)):
        timeline.add(now, shown)
    assert timeline.periods == [Period(0.0, 0.2, FIRST), Period(0.2, 0.9, SECOND)]
    assert timeline.pause == pytest.approx(0.7)
    assert timeline.busy
    assert timeline.since(0.5) == [Period(0.5, 0.9, SECOND)]


def test_the_same_sequence_within_the_tolerance_agrees() -> None:
    ours = periods((0.7, FIRST), (2.0, LOST), (4.0, SECOND))
    assert agree(ours, periods((0.7, FIRST), (2.6, LOST), (3.5, SECOND)))
    assert not agree(ours, periods((0.7, FIRST), (2.8, LOST), (4.0, SECOND)))


def test_a_missing_or_additional_state_disagrees() -> None:
    ours = periods((0.7, FIRST), (2.0, LOST), (4.0, SECOND))
    assert not agree(ours, periods((0.7, FIRST), (4.0, SECOND)))
    assert not agree(periods((0.7, FIRST), (4.0, SECOND)), ours)
    assert not agree(periods((0.7, FIRST)), periods((0.7, FIRST), (4.0, SECOND)))


def test_another_port_or_state_disagrees() -> None:
    assert not agree(periods((0.7, one("NET.1", 2, 0))), periods((0.7, one("NET.1", 2, 1))))
    assert not agree(periods((0.7, one("NET.1", 2, 0))), periods((0.7, one("NET.1", 0, 0))))


def test_a_passing_snapshot_between_two_changes_is_no_state() -> None:
    blurred = periods((0.7, FIRST), (2.0, LOST), (2.1, SECOND))
    assert agree(blurred, periods((0.7, FIRST), (2.1, SECOND)))
    blink = periods((0.7, FIRST), (2.0, LOST), (2.1, FIRST), (5.0, SECOND))
    assert agree(blink, periods((0.7, FIRST), (5.0, SECOND)))
    longer = periods((0.7, FIRST), (2.0, LOST), (2.3, FIRST), (5.0, SECOND))
    assert not agree(longer, periods((0.7, FIRST), (5.0, SECOND)))


@pytest.mark.parametrize(
    ("looks", "passing"), [((0.7, 2.0, 2.08, 2.2), True), ((0.7, 2.0, 2.18, 2.2), False)]
)
def test_a_snapshot_may_have_ended_right_after_it_was_seen_last(
    looks: tuple[float, ...], passing: bool
) -> None:
    timeline = Timeline("p")
    for now, shown in zip(looks, (FIRST, LOST, LOST, SECOND), strict=True):
        timeline.add(now, shown)
    assert agree(timeline.since(0.0), periods((0.7, FIRST), (2.1, SECOND))) is passing
