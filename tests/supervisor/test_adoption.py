"""Which worker serves which socket, against what must always hold."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.adoption import plan_owners


def test_everybody_at_home_keeps_what_is_theirs() -> None:
    assert plan_owners([0, 1, 2, 0, 1, 2], {0, 1, 2}, {0, 1, 2}) == [0, 1, 2, 0, 1, 2]


def test_orphans_go_to_siblings_in_turn() -> None:
    assert plan_owners([0, 1, 2, 0, 1, 2], {0, 2}, {0, 2}) == [0, 0, 2, 0, 2, 2]


def test_without_a_sibling_sockets_wait_at_home() -> None:
    assert plan_owners([0, 1], set(), set()) == [0, 1]


def test_a_worker_away_for_a_moment_keeps_its_sockets_but_adopts_none() -> None:
    assert plan_owners([0, 1, 2], {0, 1}, {0}) == [0, 1, 0]


@given(
    st.integers(1, 6).flatmap(
        lambda workers: st.tuples(
            st.lists(st.integers(0, workers - 1), max_size=30),
            st.sets(st.integers(0, workers - 1)),
            st.sets(st.integers(0, workers - 1)),
        )
    )
)
def test_no_socket_is_left_to_somebody_away_while_a_sibling_serves(
    case: tuple[list[int], set[int], set[int]],
) -> None:
    homes, serving, resting = case
    owners = plan_owners(homes, serving | resting, serving)
    for home, owner in zip(homes, owners, strict=True):
        if home in serving | resting:
            assert owner == home
        elif serving:
            assert owner in serving
    adopted = Counter(owner for home, owner in zip(homes, owners, strict=True) if home != owner)
    if adopted:
        assert max(adopted.values()) - min(adopted[worker] for worker in serving) <= 1
