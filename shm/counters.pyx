"""Sums of counter rows over all processes, computed when they are read.

The relay writes its row through inline functions (segment.pxd); resolverd bumps its nameserver
counters through `NameserverTable`. Field names are those of the structs in rows.pxd. Gauges
named `sessions`, `queued`, `pipes_*` and `buffer_bytes` are sums like counters; `*_max` and
`last_*` are the largest of the rows, which for a maximum of concurrent sessions is a lower bound.
`queue_ticket`, `gauged` and `hinted` of a row are for the relays only.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport count, load_acquire, load_relaxed, store_relaxed
from shm.layout cimport HINT_BLOCK_SLOTS, PLACE_BLOCK_SLOTS
from shm.resolution_records cimport (
    HISTOGRAM_BUCKETS, NameserverCounters, ResolutionRecord, SectionHistograms)
from shm.rows cimport BackendCounters, FrontendCounters, ServerCounters, WorkerCounters
from shm.segment cimport (
    Segment, View, backend_counters, bind_counters, frontend_counters, gauges_own_cell, hint_add,
    place_freed, rule_counter, server_counters, stop_tickets, waits_no_more, worker_counters)


cdef dict named(dict fields):
    """A struct as a dict, without its padding."""
    fields.pop("spare", None)
    for name in OF_RELAYS:
        fields.pop(name, None)
    return fields


cdef dict merge(dict total, dict row):
    for name, value in row.items():
        if isinstance(value, list):
            total[name] = [a + b for a, b in zip(total[name], value)]
        elif name.endswith("_max") or "_max_" in name or name.startswith("last_"):
            total[name] = max(total[name], value)
        else:
            total[name] = total[name] + value
    return total


cdef class CounterReader:
    """Sums counter rows; for any process. Each method returns a dict by field name (rows.pxd).

    Raises IndexError for an index beyond the shape. `row` None sums all rows, with the carried one.
    """

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def rows(self) -> int:
        """Number of rows: one for each worker and the one carried over from before a reload."""
        return self.segment.view.header.workers + 1

    cdef list chosen(self, object row):
        if row is None:
            return list(range(self.rows()))
        if not 0 <= row < self.rows():
            raise IndexError(f"row {row} of {self.rows()}")
        return [row]

    def sessions(self) -> int:
        """Sessions open now: `sessions` of `worker`, at the cost of one load for each worker."""
        cdef uint32_t row
        cdef uint64_t total = 0
        for row in range(self.segment.view.header.workers):
            total += load_relaxed(&worker_counters(&self.segment.view, row).sessions)
        return total

    def worker(self, row=None) -> dict:
        """Process-wide counters."""
        total = None
        for number in self.chosen(row):
            fields = named(worker_counters(&self.segment.view, number)[0])
            total = fields if total is None else merge(total, fields)
        return total

    def frontend(self, uint32_t frontend, row=None) -> dict:
        """Counters of a frontend."""
        if frontend >= self.segment.view.header.frontends:
            raise IndexError(f"frontend {frontend}")
        total = None
        for number in self.chosen(row):
            fields = named(frontend_counters(&self.segment.view, number, frontend)[0])
            total = fields if total is None else merge(total, fields)
        return total

    def backend(self, uint32_t backend, row=None) -> dict:
        """Counters of a backend."""
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend}")
        total = None
        for number in self.chosen(row):
            fields = named(backend_counters(&self.segment.view, number, backend)[0])
            total = fields if total is None else merge(total, fields)
        return total

    def server(self, uint32_t slot, row=None) -> dict:
        """Counters of a server."""
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot}")
        total = None
        for number in self.chosen(row):
            fields = named(server_counters(&self.segment.view, number, slot)[0])
            total = fields if total is None else merge(total, fields)
        return total

    def hits(self, uint32_t rule, row=None) -> int:
        """How often a rule of connections acted."""
        if rule >= self.segment.shape.rules:
            raise IndexError(f"rule {rule}")
        return sum(
            load_relaxed(&rule_counter(&self.segment.view, number, rule).hits)
            for number in self.chosen(row))

    def nameserver(self, uint32_t nameserver) -> dict:
        """Counters of a nameserver (S62's names)."""
        if nameserver >= self.segment.view.header.nameservers:
            raise IndexError(f"nameserver {nameserver}")
        return named(self.segment.view.nameservers[nameserver])

    def resolution(self, uint32_t resolution) -> dict:
        """The record of a resolution."""
        if resolution >= self.segment.view.header.resolutions:
            raise IndexError(f"resolution {resolution}")
        return named(self.segment.view.resolutions[resolution])


OF_RELAYS = ("queue_ticket", "gauged", "hinted")  # of one row; a sum of them means nothing
GAUGES = ("sessions", "pipes_used", "pipes_free", "buffer_bytes", "queued")
MEND_TRIES = 100  # looks at one hint: each takes less than a microsecond


def settle_dead_worker(Segment segment, uint32_t worker, *, bint last=False) -> set[int]:
    """Zero the gauges and tickets of a dead worker, subtract its sessions from the hints.

    The supervisor only, after the process was reaped and before its successor starts; the `last`
    worker of its position gives its row of the gauges back. The slots whose hint is in doubt,
    because the worker died in a step of it: for `mend_hints`.
    """
    cdef uint32_t index
    cdef uint64_t hinted
    cdef BackendCounters *backend
    cdef ServerCounters *server
    cdef set doubtful = set()
    if worker >= segment.view.header.workers:
        raise IndexError(f"worker {worker}")
    cdef WorkerCounters *process = worker_counters(&segment.view, worker)
    store_relaxed(&process.sessions, 0)
    store_relaxed(&process.pipes_used, 0)
    store_relaxed(&process.pipes_free, 0)
    store_relaxed(&process.buffer_bytes, 0)
    for index in range(segment.view.header.frontends):
        store_relaxed(&frontend_counters(&segment.view, worker, index).sessions, 0)
    for index in range(segment.view.header.backends):
        backend = backend_counters(&segment.view, worker, index)
        store_relaxed(&backend.sessions, 0)
        store_relaxed(&backend.queued, 0)
        store_relaxed(&backend.queue_ticket, 0)
        waits_no_more(&segment.view.backends[index].waited, worker)
    for index in range(1 + segment.view.header.frontends):
        store_relaxed(&stop_tickets(&segment.view, worker)[index].places, 0)
        store_relaxed(&stop_tickets(&segment.view, worker)[index].rate, 0)
        store_relaxed(&stop_tickets(&segment.view, worker)[index].reserved, 0)
        waits_no_more(&segment.view.frontends_shared[index].places, worker)
        waits_no_more(&segment.view.frontends_shared[index].rate, worker)
    for index in range(segment.shape.binds):
        store_relaxed(&bind_counters(&segment.view, worker, index).sessions, 0)
        store_relaxed(&bind_counters(&segment.view, worker, index).stop_ticket, 0)
        store_relaxed(&bind_counters(&segment.view, worker, index).reserved, 0)
        waits_no_more(&segment.view.binds_waited[index], worker)
    for index in range(segment.view.header.slots):
        server = server_counters(&segment.view, worker, index)
        store_relaxed(&server.queued, 0)
        store_relaxed(&server.queue_ticket, 0)
        waits_no_more(&segment.view.servers_shared[index].waited, worker)
        if load_relaxed(&server.sessions) != 0 or load_relaxed(&server.gauged) != 0:
            store_relaxed(gauges_own_cell(&segment.view, worker, index), 0)
        store_relaxed(&server.sessions, 0)
        store_relaxed(&server.gauged, 0)
        hinted = load_relaxed(&server.hinted)
        if hinted != 0:
            store_relaxed(&server.hinted, 0)
            hint_add(&segment.view, index, -<int64_t>(hinted // 2))
            if hinted % 2 != 0:
                doubtful.add(index)
    for index in range(0, segment.view.header.slots, PLACE_BLOCK_SLOTS):
        place_freed(&segment.view, index)
    if last:
        segment.give_row(worker)
    return doubtful


def mend_hints(Segment segment, set doubtful) -> None:
    """Make the hints of these slots the sums of the rows; leave those of which that works now.

    Where a live worker is just taking a step, or has been stopped in one, later will do. The
    supervisor only.
    """
    cdef int tries
    for slot in tuple(doubtful):
        for tries in range(MEND_TRIES):
            if hint_mend(&segment.view, slot):
                doubtful.discard(slot)
                break


cdef bint hinted_sum(const View *view, uint32_t slot, int64_t *total) noexcept nogil:
    """What all workers together have put into a hint; False while one of them takes a step."""
    cdef uint32_t row
    cdef uint64_t hinted
    total[0] = 0
    for row in range(view.header.workers):
        hinted = load_acquire(&server_counters(view, row, slot).hinted)
        if hinted % 2 != 0:
            return False
        total[0] += <int64_t>(hinted // 2)
    return True


cdef bint hint_mend(const View *view, uint32_t slot) noexcept nogil:
    """Take what no row has put there out of a hint; False if it moved meanwhile.

    What was read belongs together if no step was under way before and after, and none ended in
    between, for a step moves the block's word before it ends. By how much a hint is wrong, no whole
    step changes: so it is no matter that more of them are taken until that is added.
    """
    cdef uint64_t *changes = &view.hint_changes[slot // HINT_BLOCK_SLOTS]
    cdef uint64_t seen = load_acquire(changes)
    cdef int64_t total, hint
    if not hinted_sum(view, slot, &total):
        return False
    hint = <int64_t>load_acquire(<uint64_t *>&view.hints[slot])
    if not hinted_sum(view, slot, &total) or load_acquire(changes) != seen:
        return False
    hint_add(view, slot, total - hint)
    return True


cdef class NameserverTable:
    """Writes nameserver counters and resolution records: resolverd only."""

    cdef Segment segment
    cdef dict positions
    cdef dict resolution_positions

    def __init__(self, Segment segment):
        cdef NameserverCounters empty
        cdef ResolutionRecord record
        self.segment = segment
        self.positions = {name: at for at, name in enumerate(<dict>empty)}
        self.resolution_positions = {name: at for at, name in enumerate(<dict>record)}

    def count(self, uint32_t nameserver, str counter, uint64_t amount=1) -> None:
        """Add to a counter by its name in resolution_records.pxd; KeyError for another name."""
        if nameserver >= self.segment.view.header.nameservers:
            raise IndexError(f"nameserver {nameserver}")
        cdef uint32_t position = self.positions[counter]
        count(<uint64_t *>&self.segment.view.nameservers[nameserver] + position, amount)

    def reset(self, uint32_t nameserver) -> None:
        """Zero a row, for another nameserver."""
        if nameserver >= self.segment.view.header.nameservers:
            raise IndexError(f"nameserver {nameserver}")
        cdef uint64_t *words = <uint64_t *>&self.segment.view.nameservers[nameserver]
        cdef uint32_t position
        for position in range(sizeof(NameserverCounters) // sizeof(uint64_t)):
            store_relaxed(&words[position], 0)

    def repeated(
            self, uint32_t section, uint32_t resolution, int family, uint64_t ended_ms,
            uint32_t bucket, uint64_t length_ms) -> None:
        """Record a run that ended as the one before, with a valid answer of family 4 or 6.

        In the record of the resolution and, with its length, in the histogram of the section.
        """
        cdef ResolutionRecord *record
        cdef SectionHistograms *histograms
        if resolution >= self.segment.view.header.resolutions:
            raise IndexError(f"resolution {resolution}")
        if section >= self.segment.shape.sections or bucket >= HISTOGRAM_BUCKETS:
            raise IndexError(f"section {section}, bucket {bucket}")
        record = &self.segment.view.resolutions[resolution]
        store_relaxed(&record.last_valid_ms, ended_ms)
        store_relaxed(&record.last_run_ms, ended_ms)
        store_relaxed(
            &record.ipv4_valid_ms if family == 4 else &record.ipv6_valid_ms, ended_ms)
        count(&record.runs, 1)
        histograms = &self.segment.view.sections[section]
        count(&histograms.runs[bucket], 1)
        count(&histograms.runs_sum_ms, length_ms)

    def record(self, uint32_t resolution, **fields: int) -> None:
        """Store fields of a resolution record, each with one atomic store."""
        cdef uint64_t *words
        cdef uint32_t position
        if resolution >= self.segment.view.header.resolutions:
            raise IndexError(f"resolution {resolution}")
        words = <uint64_t *>&self.segment.view.resolutions[resolution]
        for name, value in fields.items():
            position = self.resolution_positions[name]
            store_relaxed(&words[position], value)
