"""The stick tables of a new generation: those of its predecessor, as far as they are the same.

A table is taken over where name, keys, size and data are equal: both generations use it then, and
what it knows is kept. Else a new one begins empty, and the old workers go on with theirs. At an
upgrade the new one begins with a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy.runtime import Log, Runtime, now_ms
from proxy.supervisor.children import Child
from proxy.supervisor.slices import Steps
from shm.log_level import LogLevel
from shm.processes import ProcessStatus
from shm.segment import Segment
from shm.states import ProcessState
from shm.tables.memory import StickTable
from shm.tables.moving import moved_entries
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


def take_entries(
    former: Iterable[StickTable], tables: Iterable[StickTable], log: Log
) -> Steps[None]:
    """Copy what the tables of a former program know, whose workers go on with theirs.

    Numbers of writers are those of one program: so the memory is not shared. Before the first fork.
    """
    known = {table.shape.name: table for table in former}
    for table in tables:
        source = known.get(table.shape.name)
        if source is None:
            continue
        if source.shape.memory != table.shape.memory:
            _tell_empty(table.shape, log)
            continue
        for _ in moved_entries(source, table, now_ms()):
            yield


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
        _tell_empty(shape, log)
    return StickTable(shape)


def _tell_empty(shape: TableShape, log: Log) -> None:
    log(
        LogLevel.NOTICE,
        f"stick-table '{shape.name}' begins empty: the type of its keys, its size or what it "
        "stores has changed",
    )
