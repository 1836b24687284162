"""How a worker tells of what it did for lack of room."""

from __future__ import annotations

import pytest

from proxy.worker.shortages import REPORT_MS, TOLD, Shortage, Shortages
from shm.counters import CounterReader
from shm.segment import Segment
from shm.shape import Shape
from tests.support.rows import CarriedRow


@pytest.mark.parametrize("kind", TOLD)
def test_each_kind_is_told_once_in_a_period(kind: Shortage) -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 0, 0))
    reader = CounterReader(segment)
    row = reader.rows() - 1  # the row that can be written from here
    fields = reader.worker(row)
    said: list[str] = []

    def meet(total: int, of_others: int = 0) -> None:
        met = fields.copy()
        for each in TOLD:
            met[each] = total if each == kind else of_others
        CarriedRow(segment).worker(met)

    meet(5)
    shortages = Shortages(reader, row, lambda level, text: said.append(f"{level} {text}"))
    shortages.look(1_000)
    assert said == [], "a former worker met them"
    meet(7)
    shortages.look(1_000)
    assert said == [f"4 worker {row}: 2 {TOLD[kind]}"]
    meet(8)
    shortages.look(1_000 + REPORT_MS - 1)
    assert len(said) == 1
    shortages.look(1_000 + REPORT_MS)
    assert said[1:] == [f"4 worker {row}: 1 {TOLD[kind]}"]
    shortages.look(1_000 + 5 * REPORT_MS)
    assert len(said) == 2
    meet(8, of_others=1)
    shortages.look(1_000 + 5 * REPORT_MS)
    assert len(said) == 1 + len(TOLD), "another kind is told beside it"
