"""The history: points by step, gaps, the rows of those that changed last, carried rows, checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.declarations import declared
from shm.check_status import CheckStatus
from shm.history import POINTS_KEPT, STEP_MS, HistoryKind, LoadHistory
from shm.segment import Segment, area_sizes
from shm.shape import RESOLUTIONS_MAX, SLOTS_MAX, Shape
from shm.slots import HealthTableWriter
from shm.states import HealthState
from tests.support.rows import CarriedRow, RowWords

BEGIN_MS = 1_000 * STEP_MS
MOST_BYTES = 4_000_000


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(600, 2, 1, 1, 0, 0, 1))
    yield made
    made.close()


def test_the_area_is_small_whatever_the_configuration() -> None:
    most = Shape(SLOTS_MAX, SLOTS_MAX, 1, 1, 0, 0, RESOLUTIONS_MAX)
    history = declared("shm/layout.pxd").numbers["AREA_HISTORY"]
    assert 0 < area_sizes(most)[history] <= MOST_BYTES


def test_a_step_has_its_most_sessions_and_its_mean_rate(segment: Segment) -> None:
    history, carried = LoadHistory(segment), CarriedRow(segment)
    history.look(BEGIN_MS)
    for second, total in enumerate((10, 30, 60), 1):
        carried.backend(1, {"sessions_total": total})
        history.look(BEGIN_MS + second * 1_000)
    points = history.points(HistoryKind.BACKEND, 1, BEGIN_MS + 3_000)
    assert points is not None
    assert len(points) == POINTS_KEPT
    assert points[:-1] == [None] * (POINTS_KEPT - 1)
    assert points[-1] is not None
    assert points[-1][1] == 20  # 60 in 3 s
    assert history.points(HistoryKind.BACKEND, 0, BEGIN_MS)[-1] == (0, 0, 0)  # type: ignore[index]
    assert history.points(HistoryKind.BACKEND, 2, BEGIN_MS) is None


def test_time_without_a_look_is_a_gap_and_old_laps_are_gone(segment: Segment) -> None:
    LoadHistory(segment).look(BEGIN_MS)
    later = BEGIN_MS + 3 * STEP_MS
    successor = LoadHistory(segment)  # its predecessor was killed
    assert successor.looked_ms == BEGIN_MS
    successor.look(later)
    points = successor.points(HistoryKind.PROCESS, 0, later)
    assert points is not None
    assert [point is None for point in points[-4:]] == [False, True, True, False]
    lap = later + POINTS_KEPT * STEP_MS
    assert set(successor.points(HistoryKind.PROCESS, 0, lap) or ()) == {None}


def test_a_step_goes_on_with_what_a_predecessor_saw_in_it(segment: Segment) -> None:
    row = RowWords(segment, 0).word("Backend", 0, "queued")
    row.value = 7
    LoadHistory(segment).look(BEGIN_MS)
    row.value = 0
    successor = LoadHistory(segment)
    successor.look(BEGIN_MS + 1_000)
    points = successor.points(HistoryKind.BACKEND, 0, BEGIN_MS + 1_000)
    assert points is not None
    assert points[-1] == (0, 0, 7)


def test_of_many_servers_those_that_changed_last_have_rows(segment: Segment) -> None:
    history = LoadHistory(segment)
    for slot in range(600):
        history.changed(slot, BEGIN_MS + slot)
    history.look(BEGIN_MS + 1_000)
    assert history.points(HistoryKind.SERVER, 87, BEGIN_MS + 1_000) is None
    kept = history.points(HistoryKind.SERVER, 88, BEGIN_MS + 1_000)
    assert kept is not None
    assert kept[-1] == (0, 0, 0)
    assert len(history.kept_servers()) == 512
    assert LoadHistory(segment).kept_servers() == history.kept_servers()


def test_a_row_is_carried_into_the_next_generation(segment: Segment) -> None:
    former = LoadHistory(segment)
    former.look(BEGIN_MS)
    segment_after = Segment.create(Shape(3, 1, 1, 2, 0, 0, 0))
    after = LoadHistory(segment_after)
    after.carry(former, HistoryKind.BACKEND, 0, 1)
    after.carry(former, HistoryKind.BACKEND, 7, 1)  # neither has one: nothing happens
    points = after.points(HistoryKind.BACKEND, 0, BEGIN_MS + STEP_MS)
    assert points is not None
    assert points[-2:] == [(0, 0, 0), None]
    segment_after.close()


def test_each_check_is_noted_once_and_the_last_sixty_are_kept(segment: Segment) -> None:
    history, health = LoadHistory(segment), HealthTableWriter(segment)
    assert history.results(5) == ()
    for number in range(1, 70):
        result = 2 if number % 3 == 0 else 3
        state = HealthState(
            1, 1, 2, CheckStatus.L4OK, result, 6, 4, 0, 0, 100, 0, 0, 0, BEGIN_MS + number
        )
        health.publish(5, state, changed=True)
        history.look(BEGIN_MS + number)
        history.look(BEGIN_MS + number)
    assert history.results(5) == tuple(number % 3 != 0 for number in range(10, 70))
    history.forget(5)
    assert history.results(5) == ()
    with pytest.raises(IndexError):
        history.results(600)
