"""How a worker tells that lines of its access log were lost."""

from __future__ import annotations

from proxy.worker.log_losses import REPORT_MS, LogLosses
from shm.counters import CounterReader
from shm.segment import Segment
from shm.shape import Shape
from tests.support.rows import CarriedRow


def test_losses_are_told_once_in_a_period() -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 0, 0))
    reader = CounterReader(segment)
    row = reader.rows() - 1  # the row that can be written from here
    fields = reader.worker(row)
    said: list[str] = []

    def lose(total: int) -> None:
        CarriedRow(segment).worker({**fields, "log_overflows": total})

    lose(5)
    losses = LogLosses(reader, row, lambda level, text: said.append(f"{level} {text}"))
    losses.look(1_000)
    assert said == [], "a former worker lost them"
    lose(7)
    losses.look(1_000)
    assert len(said) == 1
    assert said[0].startswith(f"4 worker {row}: 2 lines of the access log were lost")
    lose(8)
    losses.look(1_000 + REPORT_MS - 1)
    assert len(said) == 1
    losses.look(1_000 + REPORT_MS)
    assert "1 lines" in said[1]
    losses.look(1_000 + 5 * REPORT_MS)
    assert len(said) == 2
