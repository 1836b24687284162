# The mapped segment in compiled code: typed pointers to each area, constant after the mapping.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport (
    bits_clear, fetch_add, fetch_add_signed, load_relaxed, store_relaxed, store_release)
from shm.dumps cimport SessionDump
from shm.gauges cimport LINE_ROWS, PLACE_BITS, Gauges, GaugesHeader, Sheet
from shm.layout cimport (
    HINT_BLOCK_SLOTS, PLACE_BLOCK_SLOTS, BackendShared, ClientOrders, FrontendShared, Header,
    Journal, Process, Request, ServerShared, Waited)
from shm.members cimport MemberLine, MembersHeader
from shm.records cimport Agent, Latch, NameLatch, SlotStatic
from shm.resolution_records cimport Mailbox, NameserverCounters, ResolutionRecord, SectionHistograms
from shm.rows cimport (
    BackendCounters, BindCounters, FrontendCounters, RuleCounter, ServerCounters, StopTickets,
    WorkerCounters)
from shm.variable_records cimport VariableCell, VariableCopy, VariablesHeader

cdef enum:
    NO_COLUMN = 0xFFFFFFFF

cdef struct View:
    Header *header
    Process *processes
    uint32_t *owners  # by socket
    SlotStatic *statics  # by slot
    BackendShared *backends
    int64_t *hints  # by slot
    uint64_t *hint_changes  # by slot // HINT_BLOCK_SLOTS
    Latch *slots
    Latch *admins
    Latch *health
    Request *requests  # by worker * slots + slot
    char *rows
    NameserverCounters *nameservers
    ResolutionRecord *resolutions
    NameLatch *targets  # by slot
    NameLatch *name_orders  # by slot
    NameLatch *check_texts  # by slot
    Agent *agents  # by agent
    Mailbox *mailbox
    SessionDump *dumps  # by worker
    ClientOrders *client_orders  # of the process; behind it, those of frontends
    NameLatch *nameserver_names  # by nameserver
    SectionHistograms *sections
    Journal *journal
    MembersHeader *members
    uint64_t *member_words  # by slot, behind the header
    MemberLine *member_lines  # by slot
    VariablesHeader *variables
    VariableCell *variable_cells  # by variable
    VariableCopy *variable_copies  # by 2 * (row * variables + variable)
    uint64_t *history  # its words (history.pxd)
    ServerShared *servers_shared  # by slot
    FrontendShared *frontends_shared  # of the process; behind it, those of frontends
    Waited *binds_waited  # by bind
    uint64_t *place_changes  # by slot // PLACE_BLOCK_SLOTS
    uint64_t *turns  # the last served turn; behind it, by bind, the last drawn one
    const GaugesHeader *gauges
    const Sheet *sheets  # of the gauges


cdef struct Column:
    uint64_t *line  # the cells of the first eight rows
    uint64_t stride  # to those of the next eight


cdef inline WorkerCounters *worker_counters(const View *view, uint32_t row) noexcept nogil:
    return <WorkerCounters *>(view.rows + row * view.header.row_bytes)


cdef inline FrontendCounters *frontend_counters(
        const View *view, uint32_t row, uint32_t frontend) noexcept nogil:
    cdef char *after = <char *>worker_counters(view, row) + sizeof(WorkerCounters)
    return <FrontendCounters *>after + frontend


cdef inline BackendCounters *backend_counters(
        const View *view, uint32_t row, uint32_t backend) noexcept nogil:
    return <BackendCounters *>frontend_counters(view, row, view.header.frontends) + backend


cdef inline ServerCounters *server_counters(
        const View *view, uint32_t row, uint32_t slot) noexcept nogil:
    return <ServerCounters *>backend_counters(view, row, view.header.backends) + slot


cdef inline Column gauges_column(const View *view, uint32_t slot) noexcept nogil:
    """The column of a server."""
    cdef uint32_t column = view.statics[slot].column
    cdef const Sheet *sheet = &view.sheets[column >> PLACE_BITS]
    cdef Column found
    found.line = sheet.cells + (column & (1 << PLACE_BITS) - 1) * LINE_ROWS
    found.stride = sheet.stride
    return found


cdef inline uint64_t *column_cell(Column column, uint64_t row) noexcept nogil:
    """The cell of a row of the gauges."""
    return column.line + row // LINE_ROWS * column.stride + row % LINE_ROWS


cdef inline uint64_t *gauges_own_cell(
        const View *view, uint32_t worker, uint32_t slot) noexcept nogil:
    """The cell that a worker of this generation writes."""
    return column_cell(gauges_column(view, slot), view.processes[worker].gauges_row)


cdef inline uint64_t waited_bit(uint32_t worker) noexcept nogil:
    return <uint64_t>1 << worker % 64


cdef inline void waits_no_more(Waited *waited, uint32_t worker) noexcept nogil:
    """The worker has no ticket in the queue any more: after its ticket is taken back."""
    if load_relaxed(&waited.workers[worker // 64]) & waited_bit(worker) != 0:
        bits_clear(&waited.workers[worker // 64], waited_bit(worker))


cdef inline void place_freed(const View *view, uint32_t slot) noexcept nogil:
    """A place of a server may be free: after its cell says so.

    Who has found all servers of the block full looks at them again.
    """
    fetch_add(&view.place_changes[slot // PLACE_BLOCK_SLOTS], 1)


cdef inline StopTickets *stop_tickets(const View *view, uint32_t row) noexcept nogil:
    """The tickets of the process's limits; behind them, those of the frontends."""
    return <StopTickets *>server_counters(view, row, view.header.slots)


cdef inline BindCounters *bind_counters(
        const View *view, uint32_t row, uint32_t bind) noexcept nogil:
    return <BindCounters *>(stop_tickets(view, row) + 1 + view.header.frontends) + bind


cdef inline RuleCounter *rule_counter(
        const View *view, uint32_t row, uint32_t rule) noexcept nogil:
    """They end the row, the first one last."""
    return <RuleCounter *>worker_counters(view, row + 1) - 1 - rule


cdef inline Request *request_of(const View *view, uint32_t worker, uint32_t slot) noexcept nogil:
    return &view.requests[<uint64_t>worker * view.header.slots + slot]


cdef inline void hint_add(const View *view, uint32_t slot, int64_t sessions) noexcept nogil:
    """Add to a slot's sessions; a reader of the block's new word reads the new hint too."""
    fetch_add_signed(&view.hints[slot], sessions)
    fetch_add(&view.hint_changes[slot // HINT_BLOCK_SLOTS], 1)


cdef inline void hint_step(
        const View *view, uint32_t worker, uint32_t slot, int64_t sessions) noexcept nogil:
    """A session of the worker comes into the slot's hint (1) or leaves it (-1).

    Its row says how much of the hint is the worker's, and that this is in doubt from before the
    step until after it: what a worker has left that is killed in between, mend_hints finds out.
    """
    cdef uint64_t *hinted = &server_counters(view, worker, slot).hinted
    cdef uint64_t before = load_relaxed(hinted)
    store_relaxed(hinted, before | 1)
    hint_add(view, slot, sessions)
    store_release(hinted, before + 2 * <uint64_t>sessions)


cdef class Segment:
    cdef View view
    cdef readonly int fd  # the sealed memfd, also of the role locks (locks.py)
    cdef readonly object shape
    cdef readonly Gauges gauges  # shared with other generations
    cdef list rows  # of the gauges, by worker; None: given back. The supervisor's
    cdef dict trackers  # by slot, the slots that track it; constant after the first fork
    cdef void *address
    cdef uint64_t bytes
