"""The segment itself: one sealed memfd, mapped by the supervisor and inherited at each fork.

Owns creation, the offsets of areas and the header. Knows no meaning of records. The supervisor
creates the segment before any child exists; it cannot shrink or grow after that (F_SEAL_SHRINK,
F_SEAL_GROW), so a pointer into it is valid for the life of the process.
"""

import fcntl
import os
import time

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from shm.atomics cimport load_acquire, store_release
from shm.dumps cimport DumpQuestion, SessionDump, SessionRecord
from shm.gauges cimport Gauges
from shm.history cimport history_words
from shm.layout cimport (
    AREAS, AREA_ADMINS, AREA_AGENTS, AREA_BACKENDS, AREA_CHECK_TEXTS, AREA_CLIENT_ORDERS,
    AREA_DUMPS, AREA_HEADER, AREA_HEALTH, AREA_HINTS, AREA_HISTORY, AREA_JOURNAL, AREA_MAILBOX,
    AREA_MEMBERS, AREA_MEMBER_LINES, AREA_NAMESERVERS, AREA_NAMESERVER_NAMES, AREA_NAME_ORDERS,
    AREA_OWNERS, AREA_PLACES, AREA_PROCESSES, AREA_REQUESTS, AREA_RESOLUTIONS, AREA_ROWS,
    AREA_SECTIONS, AREA_SHARED, AREA_SLOTS, AREA_STATICS, AREA_TARGETS, AREA_TURNS, AREA_VARIABLES,
    HINT_BLOCK_SLOTS, LAYOUT_VERSION, PAGE, PLACE_BLOCK_SLOTS, BackendShared, ClientOrders,
    FrontendShared, Header, Journal, Process, Request, ServerShared, Waited)
from shm.members cimport MemberLine, MembersHeader
from shm.records cimport (
    AdminRecord, Agent, AgentLatch, AgentOrder, AgentRecord, HealthRecord, Latch, NameLatch,
    NameRecord, SlotRecord, SlotStatic)
from shm.resolution_records cimport (
    Inquiry, Mailbox, NameserverCounters, ResolutionRecord, SectionHistograms)
from shm.rows cimport (
    BackendCounters, BindCounters, FrontendCounters, RuleCounter, ServerCounters, StopTickets,
    WorkerCounters)
from shm.variable_records cimport ProcessValue, VariableCell, VariableCopy, VariablesHeader

from shm.shape import WORKERS_MAX

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

MAGIC = 0x4543_4152_4C4C_494D  # "MILLRACE" in memory on a little-endian machine


def check_sizes() -> None:
    """Compare the structs with their byte map: AssertionError for another size."""
    expected = {
        "Header": (sizeof(Header), 384 + 64),
        "Process": (sizeof(Process), 128),
        "SlotStatic": (sizeof(SlotStatic), 52),
        "BackendShared": (sizeof(BackendShared), 192),
        "Waited": (sizeof(Waited), WORKERS_MAX // 8),
        "ServerShared": (sizeof(ServerShared), 64),
        "FrontendShared": (sizeof(FrontendShared), 192),
        "ClientOrders": (sizeof(ClientOrders), 64),
        "Latch": (sizeof(Latch), 128),
        "SlotRecord": (sizeof(SlotRecord), 56),
        "AdminRecord": (sizeof(AdminRecord), 56),
        "HealthRecord": (sizeof(HealthRecord), 56),
        "AgentLatch": (sizeof(AgentLatch), 192),
        "AgentRecord": (sizeof(AgentRecord), 64),
        "AgentOrder": (sizeof(AgentOrder), 64),
        "Agent": (sizeof(Agent), 1536),
        "NameLatch": (sizeof(NameLatch), 576),
        "NameRecord": (sizeof(NameRecord), 264),
        "Request": (sizeof(Request), 64),
        "Inquiry": (sizeof(Inquiry), 288),
        "SectionHistograms": (sizeof(SectionHistograms), 256),
        "Mailbox": (sizeof(Mailbox), 704 + 65_536),
        "WorkerCounters": (sizeof(WorkerCounters), 640),
        "FrontendCounters": (sizeof(FrontendCounters), 128),
        "StopTickets": (sizeof(StopTickets), 32),
        "BindCounters": (sizeof(BindCounters), 32),
        "RuleCounter": (sizeof(RuleCounter), 8),
        "BackendCounters": (sizeof(BackendCounters), 256),
        "ServerCounters": (sizeof(ServerCounters), 320),
        "NameserverCounters": (sizeof(NameserverCounters), 192),
        "ResolutionRecord": (sizeof(ResolutionRecord), 128),
        "Journal": (sizeof(Journal), 64 + 65_536),
        "DumpQuestion": (sizeof(DumpQuestion), 56),
        "SessionRecord": (sizeof(SessionRecord), 192),
        "MembersHeader": (sizeof(MembersHeader), 64 + 1024),
        "MemberLine": (sizeof(MemberLine), 2560),
        "VariablesHeader": (sizeof(VariablesHeader), 64),
        "VariableCell": (sizeof(VariableCell), 256),
        "ProcessValue": (sizeof(ProcessValue), 32),
        "VariableCopy": (sizeof(VariableCopy), 2048),
        "SessionDump": (sizeof(SessionDump), 192 + 340 * 192),
    }
    for name, (found, wanted) in expected.items():
        assert found == wanted, f"struct {name} has {found} bytes, its byte map says {wanted}"


def area_sizes(shape) -> list[int]:
    """Bytes of each area, in the order of layout.pxd, before rounding to pages."""
    sizes = [0] * AREAS
    sizes[AREA_HEADER] = sizeof(Header)
    sizes[AREA_PROCESSES] = len(shape.process_names) * sizeof(Process)
    sizes[AREA_OWNERS] = shape.sockets * sizeof(uint32_t)
    sizes[AREA_STATICS] = shape.slots * sizeof(SlotStatic)
    sizes[AREA_BACKENDS] = shape.backends * sizeof(BackendShared)
    sizes[AREA_HINTS] = (shape.slots + shape.slots // HINT_BLOCK_SLOTS + 1) * sizeof(uint64_t)
    sizes[AREA_SLOTS] = shape.slots * sizeof(Latch)
    sizes[AREA_ADMINS] = shape.slots * sizeof(Latch)
    sizes[AREA_HEALTH] = shape.slots * sizeof(Latch)
    sizes[AREA_REQUESTS] = shape.workers * shape.slots * sizeof(Request)
    sizes[AREA_ROWS] = (shape.workers + 1) * row_bytes(shape)
    sizes[AREA_NAMESERVERS] = shape.nameservers * sizeof(NameserverCounters)
    sizes[AREA_RESOLUTIONS] = (
        (shape.resolutions + shape.added_names) * sizeof(ResolutionRecord))
    sizes[AREA_TARGETS] = shape.slots * sizeof(NameLatch)
    sizes[AREA_NAME_ORDERS] = shape.slots * sizeof(NameLatch)
    sizes[AREA_MAILBOX] = sizeof(Mailbox)
    sizes[AREA_NAMESERVER_NAMES] = shape.nameservers * sizeof(NameLatch)
    sizes[AREA_SECTIONS] = shape.sections * sizeof(SectionHistograms)
    sizes[AREA_JOURNAL] = sizeof(Journal)
    sizes[AREA_TURNS] = (1 + shape.binds) * sizeof(uint64_t)
    sizes[AREA_CHECK_TEXTS] = shape.slots * sizeof(NameLatch)
    sizes[AREA_AGENTS] = shape.agents * sizeof(Agent)
    sizes[AREA_DUMPS] = shape.workers * sizeof(SessionDump)
    sizes[AREA_CLIENT_ORDERS] = (1 + shape.frontends) * sizeof(ClientOrders)
    sizes[AREA_MEMBERS] = sizeof(MembersHeader) + shape.slots * sizeof(uint64_t)
    sizes[AREA_MEMBER_LINES] = shape.slots * sizeof(MemberLine)
    sizes[AREA_VARIABLES] = sizeof(VariablesHeader) + shape.variable_cells * (
        sizeof(VariableCell) + (2 * shape.workers + 3) * 2 * sizeof(VariableCopy))
    sizes[AREA_PLACES] = (shape.slots // PLACE_BLOCK_SLOTS + 1) * sizeof(uint64_t)
    sizes[AREA_SHARED] = (
        shape.slots * sizeof(ServerShared) + (1 + shape.frontends) * sizeof(FrontendShared)
        + shape.binds * sizeof(Waited))
    sizes[AREA_HISTORY] = sizeof(uint64_t) * history_words(
        shape.backends, shape.slots, shape.resolutions)
    return sizes


def row_bytes(shape) -> int:
    """Stride of one process's counter row, a whole number of pages."""
    used = (
        sizeof(WorkerCounters)
        + shape.frontends * sizeof(FrontendCounters)
        + shape.backends * sizeof(BackendCounters)
        + shape.slots * sizeof(ServerCounters)
        + (1 + shape.frontends) * sizeof(StopTickets)
        + shape.binds * sizeof(BindCounters)
        + shape.rules * sizeof(RuleCounter)
    )
    return pages(used)


def pages(size: int) -> int:
    """Round up to whole pages, at least one."""
    return max(PAGE, (size + PAGE - 1) // PAGE * PAGE)


cdef class Segment:
    """One mapped segment; made with `Segment.create`, inherited by fork.

    `fd` is the memfd, `shape` the counts of its layout. Raises OSError when the kernel refuses
    the memory, ValueError for a count beyond its limit.
    """

    def __cinit__(self):
        self.address = NULL
        self.fd = -1
        self.trackers = {}
        self.rows = []

    @staticmethod
    def create(shape, uint32_t reload_generation=1, Gauges gauges=None) -> Segment:
        """Create and map a zeroed segment with its header; the layout's version is stored last.

        With the `gauges` of another one, servers have columns there only when they were given some
        (columns.pyx); raises GaugesFullError when there are no rows for these workers.
        """
        shape.check()
        check_sizes()
        cdef Segment segment = Segment.__new__(Segment)
        segment.shape = shape
        offsets = []
        end = 0
        for size in area_sizes(shape):
            offsets.append(end)
            end += pages(size)
        segment.fd = os.memfd_create("millrace", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(segment.fd, end)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(segment.fd, fcntl.F_ADD_SEALS, seals)
            segment.bytes = end
            segment.map(offsets)
            segment.join(
                Gauges(shape.slots) if gauges is None else gauges, fresh=gauges is None)
            segment.fill_header(reload_generation, offsets)
        except BaseException:
            if segment.address != NULL:
                segment.close()
            else:
                os.close(segment.fd)
            raise
        return segment

    def map(self, list offsets) -> None:
        """Map the memfd and set the view's pointers."""
        cdef void *address = mmap(
            NULL, self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self.fd, 0)
        if address == MAP_FAILED:
            raise OSError(errno, f"cannot map a segment of {self.bytes} bytes")
        self.address = address
        cdef char *base = <char *>address
        cdef uint64_t at[AREAS]
        cdef int area
        cdef uint32_t slots = self.shape.slots
        for area in range(AREAS):
            at[area] = offsets[area]
        self.view.header = <Header *>base
        self.view.processes = <Process *>(base + at[AREA_PROCESSES])
        self.view.owners = <uint32_t *>(base + at[AREA_OWNERS])
        self.view.statics = <SlotStatic *>(base + at[AREA_STATICS])
        self.view.backends = <BackendShared *>(base + at[AREA_BACKENDS])
        self.view.hints = <int64_t *>(base + at[AREA_HINTS])
        self.view.hint_changes = <uint64_t *>self.view.hints + slots
        self.view.slots = <Latch *>(base + at[AREA_SLOTS])
        self.view.admins = <Latch *>(base + at[AREA_ADMINS])
        self.view.health = <Latch *>(base + at[AREA_HEALTH])
        self.view.requests = <Request *>(base + at[AREA_REQUESTS])
        self.view.rows = base + at[AREA_ROWS]
        self.view.nameservers = <NameserverCounters *>(base + at[AREA_NAMESERVERS])
        self.view.resolutions = <ResolutionRecord *>(base + at[AREA_RESOLUTIONS])
        self.view.targets = <NameLatch *>(base + at[AREA_TARGETS])
        self.view.name_orders = <NameLatch *>(base + at[AREA_NAME_ORDERS])
        self.view.mailbox = <Mailbox *>(base + at[AREA_MAILBOX])
        self.view.nameserver_names = <NameLatch *>(base + at[AREA_NAMESERVER_NAMES])
        self.view.sections = <SectionHistograms *>(base + at[AREA_SECTIONS])
        self.view.journal = <Journal *>(base + at[AREA_JOURNAL])
        self.view.turns = <uint64_t *>(base + at[AREA_TURNS])
        self.view.check_texts = <NameLatch *>(base + at[AREA_CHECK_TEXTS])
        self.view.agents = <Agent *>(base + at[AREA_AGENTS])
        self.view.dumps = <SessionDump *>(base + at[AREA_DUMPS])
        self.view.client_orders = <ClientOrders *>(base + at[AREA_CLIENT_ORDERS])
        self.view.members = <MembersHeader *>(base + at[AREA_MEMBERS])
        self.view.member_words = <uint64_t *>(self.view.members + 1)
        self.view.member_lines = <MemberLine *>(base + at[AREA_MEMBER_LINES])
        self.view.variables = <VariablesHeader *>(base + at[AREA_VARIABLES])
        self.view.variable_cells = <VariableCell *>(self.view.variables + 1)
        self.view.variable_copies = <VariableCopy *>(
            self.view.variable_cells + <uint32_t>self.shape.variable_cells)
        self.view.history = <uint64_t *>(base + at[AREA_HISTORY])
        self.view.place_changes = <uint64_t *>(base + at[AREA_PLACES])
        self.view.servers_shared = <ServerShared *>(base + at[AREA_SHARED])
        self.view.frontends_shared = <FrontendShared *>(self.view.servers_shared + slots)
        self.view.binds_waited = <Waited *>(
            self.view.frontends_shared + 1 + <uint32_t>self.shape.frontends)

    def join(self, Gauges gauges, *, bint fresh) -> None:
        """Take rows of the gauges; columns only of fresh ones."""
        cdef uint32_t slot, worker
        self.gauges = gauges
        self.view.gauges = gauges.header
        self.view.sheets = gauges.sheets
        self.rows = gauges.take(self.shape.workers)
        for worker in range(self.shape.workers):
            self.view.processes[worker].gauges_row = self.rows[worker]
        for slot in range(self.shape.slots):
            self.view.statics[slot].column = slot if fresh else <uint32_t>NO_COLUMN  # of one sheet

    def give_row(self, uint32_t worker) -> None:
        """The worker was settled and gets no successor: its row of the gauges is free."""
        row, self.rows[worker] = self.rows[worker], None
        if row is not None:
            self.gauges.give(row)

    def fill_header(self, uint32_t reload_generation, list offsets) -> None:
        """Write the header, its version last."""
        cdef Header *header = self.view.header
        header.magic = MAGIC
        header.size = self.bytes
        header.slots = self.shape.slots
        header.backends = self.shape.backends
        header.frontends = self.shape.frontends
        header.workers = self.shape.workers
        header.sockets = self.shape.sockets
        header.nameservers = self.shape.nameservers
        header.variables = self.shape.variable_cells
        header.resolutions = self.shape.resolutions + self.shape.added_names
        header.reload_generation = reload_generation
        header.created_ms = time.monotonic_ns() // 1_000_000
        header.created_unix_s = time.time_ns() // 1_000_000_000
        header.row_bytes = row_bytes(self.shape)
        for area, offset in enumerate(offsets):
            header.offsets[area] = offset
        store_release(&header.version, LAYOUT_VERSION)

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return self.bytes

    @property
    def table_generation(self) -> int:
        """The shared word that each change of a slot record bumps."""
        return load_acquire(&self.view.header.table_generation)

    @property
    def reload_generation(self) -> int:
        """1 for the first configuration, one more after each reload."""
        return self.view.header.reload_generation

    @property
    def created_ms(self) -> int:
        """When the segment was created, CLOCK_MONOTONIC in milliseconds."""
        return self.view.header.created_ms

    @property
    def created_unix_s(self) -> int:
        """The same time in seconds since 1970 (CLOCK_REALTIME)."""
        return self.view.header.created_unix_s

    @property
    def stopping_ms(self) -> int:
        """When its workers were told to finish, CLOCK_MONOTONIC in milliseconds; 0: they serve."""
        return <int64_t>load_acquire(<uint64_t *>&self.view.header.stopping_ms)

    @property
    def hard_stop_ms(self) -> int:
        """When `hard-stop-after` ends them, by the same clock; 0: never."""
        return <int64_t>load_acquire(<uint64_t *>&self.view.header.hard_stop_ms)

    def stops(self, int64_t now_ms, int64_t hard_stop_ms) -> None:
        """Its workers finish from now on; the supervisor only."""
        store_release(<uint64_t *>&self.view.header.hard_stop_ms, <uint64_t>hard_stop_ms)
        store_release(<uint64_t *>&self.view.header.stopping_ms, <uint64_t>now_ms)

    @property
    def reload_number(self) -> int:
        """Which reload made it, with those that failed; 0 for the first generation."""
        return load_acquire(&self.view.header.reload_number)

    @property
    def reloads(self) -> tuple[int, int]:
        """How many reloads there were, and how many of the last of them failed in a row.

        Of the generation in force; an old one has what held while it was.
        """
        return (load_acquire(&self.view.header.reloads_tried),
                load_acquire(&self.view.header.reloads_failed))

    def count_reloads(self, uint64_t tried, uint64_t failed) -> None:
        """Publish them; the supervisor only. Where none has failed, the last made this one."""
        if failed == 0:
            store_release(&self.view.header.reload_number, tried)
        store_release(&self.view.header.reloads_tried, tried)
        store_release(&self.view.header.reloads_failed, failed)

    @property
    def reload_failures(self) -> int:
        """How many reloads have failed since the program began."""
        return load_acquire(&self.view.header.reload_failures)

    @property
    def reload_failed_unix_s(self) -> int:
        """When the last reload failed; 0 when it did not (CLOCK_REALTIME, seconds)."""
        return load_acquire(&self.view.header.reload_failed_unix_s)

    def note_reloads(self, uint64_t failures, uint64_t failed_unix_s=0) -> None:
        """Note how reloads went: the supervisor only."""
        store_release(&self.view.header.reload_failed_unix_s, failed_unix_s)
        store_release(&self.view.header.reload_failures, failures)

    def offsets(self) -> tuple[int, ...]:
        """The offset of each area in bytes, in the order of layout.pxd."""
        return tuple(self.view.header.offsets[area] for area in range(AREAS))

    def forget(self) -> None:
        """Unmap and close in a process that has inherited it and is done with it.

        No view may be used any more. Rows of the gauges stay the supervisor's to give.
        """
        self.rows = []
        self.close()

    def close(self) -> None:
        """Unmap and close; only for a process whose threads no longer use the view.

        The gauges stay as long as another segment has them; the rows of this one are free.
        """
        cdef uint32_t worker
        if self.address != NULL:
            for worker in range(len(self.rows)):
                self.give_row(worker)
            munmap(self.address, self.bytes)
            self.address = NULL
            memset(&self.view, 0, sizeof(self.view))
            os.close(self.fd)
            self.fd = -1
