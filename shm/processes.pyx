"""Process records: command and pid from the supervisor, state and heartbeats from the process.

Also the owners of listening sockets, which the supervisor assigns. `ProcessBoard` is for the
supervisor, and for any process to read; `ProcessSelf` writes a child's own record.
"""

from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from shm.atomics cimport (
    count, fetch_add, load32_acquire, load_acquire, store32_release, store_release)
from shm.layout cimport OWNER_CLOSES, Process
from shm.segment cimport Segment

from typing import NamedTuple

cdef extern from "<sched.h>" nogil:
    int sched_yield()


class ProcessStatus(NamedTuple):
    """One process record; beats are CLOCK_MONOTONIC in milliseconds, 0 before the first."""

    pid: int
    command: int
    started_ms: int
    restarts: int
    state: int
    main_beat_ms: int
    relay_beat_ms: int
    generation_seen: int
    late_checks: int
    applied: int = 0  # the last change of members that it goes by
    left: int = 0  # of a worker that was told to finish: 1 once it accepts no clients


cdef Process *process_at(Segment segment, uint32_t process) except NULL:
    cdef uint32_t processes = segment.view.header.workers + 2 + segment.shape.runners
    if process >= processes:
        raise IndexError(f"process {process} of {processes}")
    return &segment.view.processes[process]


cdef uint64_t clock_ns() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef bint relay_behind(
        Segment segment, uint32_t worker, uint64_t generation, uint64_t ready) noexcept:
    """Whether a worker in the state `ready` goes by an older table."""
    cdef Process *record = &segment.view.processes[worker]
    return load_acquire(&record.state) == ready and (
        load_acquire(&record.generation_seen) < generation)


cdef class ProcessBoard:
    """All process records. Any process may read, the supervisor only may write."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def status(self, uint32_t process):
        """The record of a process, as a `ProcessStatus`."""
        cdef Process *record = process_at(self.segment, process)
        return ProcessStatus(
            load_acquire(&record.pid), load_acquire(&record.command),
            load_acquire(&record.started_ms), load_acquire(&record.restarts),
            load_acquire(&record.state), load_acquire(&record.main_beat_ms),
            load_acquire(&record.relay_beat_ms), load_acquire(&record.generation_seen),
            load_acquire(&record.late_checks), load_acquire(&record.applied),
            load_acquire(&record.left))

    def relays_behind(self, uint64_t generation, uint64_t ready):
        """The workers in this state whose relays have not seen this generation of the table."""
        cdef uint32_t worker
        return [
            worker for worker in range(self.segment.view.header.workers)
            if relay_behind(self.segment, worker, generation, ready)]

    def relays_see(self, uint64_t generation, uint64_t ready, uint64_t moment_ns) -> bool:
        """Whether the relays of all workers in this state have seen it; waits for so long at most.

        The core is given to whoever wants it meanwhile.
        """
        cdef uint64_t until = 0
        cdef uint32_t worker = 0
        while worker < self.segment.view.header.workers:
            if not relay_behind(self.segment, worker, generation, ready):
                worker += 1
                continue
            if until == 0:
                until = clock_ns() + moment_ns
            elif clock_ns() >= until:
                return False
            sched_yield()
        return True

    def started(self, uint32_t process, uint64_t pid, uint64_t now_ms, uint64_t restarts) -> None:
        """Write the record of a new child.

        Call it in the parent after fork(), while the child still waits.
        """
        cdef Process *record = process_at(self.segment, process)
        store_release(&record.started_ms, now_ms)
        store_release(&record.restarts, restarts)
        store_release(&record.pid, pid)

    def ended(self, uint32_t process) -> None:
        """Clear the record of an ended process until the next start."""
        cdef Process *record = process_at(self.segment, process)
        store_release(&record.state, 0)
        store_release(&record.main_beat_ms, 0)
        store_release(&record.relay_beat_ms, 0)
        store_release(&record.applied, 0)
        store_release(&record.left, 0)
        store_release(&record.pid, 0)

    def command(self, uint32_t process, uint64_t command) -> None:
        """Write the command for a process (a `ProcessCommand`); ring its bells afterwards."""
        store_release(&process_at(self.segment, process).command, command)

    def owner(self, uint32_t socket) -> int:
        """The worker that serves a listening socket."""
        if socket >= self.segment.view.header.sockets:
            raise IndexError(f"socket {socket} of {self.segment.view.header.sockets}")
        return load32_acquire(&self.segment.view.owners[socket]) & ~<uint32_t>OWNER_CLOSES

    def assign(self, uint32_t socket, uint32_t worker, *, bint closes=False) -> None:
        """Assign a socket to a worker; ring both relays afterwards.

        Of one that `closes` it accepts all clients that wait, whatever limit they were kept by.
        """
        if socket >= self.segment.view.header.sockets:
            raise IndexError(f"socket {socket} of {self.segment.view.header.sockets}")
        store32_release(
            &self.segment.view.owners[socket], worker | (OWNER_CLOSES if closes else 0))
        fetch_add(&self.segment.view.header.table_generation, 1)


cdef class ProcessSelf:
    """A child's own record; created in the child for its own position only."""

    cdef Segment segment
    cdef Process *record

    def __init__(self, Segment segment, uint32_t process):
        self.segment = segment
        self.record = process_at(segment, process)

    def state(self, uint64_t state) -> None:
        """Write the state (a `ProcessState`)."""
        store_release(&self.record.state, state)

    def beat(self, uint64_t now_ms) -> None:
        """Write the heartbeat of the event loop."""
        store_release(&self.record.main_beat_ms, now_ms)

    def applied(self, uint64_t change) -> None:
        """It goes by all changes of members up to this one (members.pyx)."""
        store_release(&self.record.applied, change)

    def count_late(self, uint64_t checks) -> None:
        """So many more checks had to wait for a place; a former process's are among them."""
        count(&self.record.late_checks, checks)

    @property
    def command(self) -> int:
        """The supervisor's `ProcessCommand`."""
        return load_acquire(&self.record.command)
