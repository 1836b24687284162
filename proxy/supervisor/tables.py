"""The stick tables of a new generation: those of its predecessor, as far as they are the same.

A table is taken over where name, keys, size and data are equal: both generations use it then, and
what it knows is kept. Else a new one begins empty, and the old workers go on with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.runtime import Log, Runtime
from proxy.supervisor.children import Child
from shm.log_level import LogLevel
from shm.processes import ProcessStatus
from shm.segment import Segment
from shm.states import ProcessState
from shm.tables.memory import StickTable
from shm.tables.shape import CONTROL_WRITER, TableShape


def open_tables(
    shapes: Sequence[TableShape],
    segment: Segment,
    former: Runtime | None,
    log: Log,
) -> tuple[StickTable, ...]:
    """By number, with room for the workers of the segment; raises OSError without memory."""
    known = {table.shape.name: table for table in former.tables} if former else {}
    made = tuple(_open_table(shape, known.get(shape.name), log) for shape in shapes)
    for table in made:
        table.admit(segment)
    return made


def settle_tables(runtime: Runtime, child: Child, status: ProcessStatus) -> None:
    """A child has ended, before another has its number: it holds no entry any more.

    A control that has retired holds none, and its number is its successor's.
    """
    shape = runtime.segment.shape
    for table in runtime.tables:
        if child.position < runtime.workers:
            table.settle_worker(runtime.segment, child.position)
        elif child.position == shape.control_process and status.state != ProcessState.RETIRED:
            table.settle(CONTROL_WRITER)


def _open_table(shape: TableShape, former: StickTable | None, log: Log) -> StickTable:
    if former is not None and former.shape.memory == shape.memory:
        return former if former.shape == shape else StickTable(shape, former)
    if former is not None:
        log(
            LogLevel.NOTICE,
            f"stick-table '{shape.name}' begins empty: the type of its keys, its size or what it "
            "stores has changed",
        )
    return StickTable(shape)
