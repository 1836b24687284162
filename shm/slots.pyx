"""The slot table: one reader class, and one writer class for each kind of record.

`SlotTableReader` is for any process. `SlotTableWriter` is for resolverd (and for the supervisor
before the first fork), `AdminTableWriter` for control, `HealthTableWriter` for the worker that
checks the slot. Each change bumps the backend's generation and then the table's, after the record
is complete; a new writer bumps all of them once, because the former may have died in between.
Rings no bell: the caller does.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from shm cimport eligibility
from shm.addresses cimport address_bytes, address_text
from shm.agents cimport agent_of, order_fill
from shm.announce cimport announce, announce_all
from shm.atomics cimport load_acquire, store_relaxed
from shm.eligibility cimport (
    ServerView, admin_compose, admin_read, ordered_away, server_view, warmth, whole_weight)
from shm.latch cimport agent_read, agent_write, latch_read, latch_write
from shm.records cimport (
    ADMIN_FDRAIN, ADMIN_FMAINT, ADMIN_MASK_DRAIN, ADMIN_MASK_MAINT, SLOT_RMAINT, AdminRecord,
    AgentOrder, AgentRecord, HealthRecord, SlotRecord, SlotStatic)
from shm.segment cimport Segment, View

from shm.states import AdminState, HealthState, ServerState, SlotState, StaticState

cdef enum:  # bits of HAProxy's administrative state that no record has (standing.py)
    STAND_IMAINT = 0x02
    STAND_IDRAIN = 0x10

WARM_STEPS = eligibility.WARM_STEPS  # of which a server's whole weight has so many


def warmth_of(int64_t warm_from_ms, uint32_t slowstart_ms, int64_t now_ms) -> int:
    """The sixteenths of its weight that a server has; WARM_STEPS is the whole weight."""
    return warmth(warm_from_ms, slowstart_ms, now_ms)


def warm_weight(uint32_t weight, uint32_t warm) -> int:
    """A weight of which so many sixteenths count."""
    return whole_weight(<uint64_t>weight * warm)


cdef object admin_state(const AdminRecord *record):
    return AdminState(
        record.flags, <int>record.weight_plus_one - 1,
        address_text(record.family, record.address),
        record.port, record.override_generation, record.changed_ms, record.health_order,
        record.health_orders, record.health_incarnation,
        <int64_t>record.maxconn_plus_one - 1, record.returned != 0)


cdef object health_state(const HealthRecord *record):
    """The `HealthState` of a record."""
    return HealthState(
        record.incarnation, record.generation, record.operational, record.status, record.result,
        record.check_state, record.health, record.code, record.changed_ms, record.duration_us,
        record.failures, record.downs, record.downtime_ms, record.checked_ms,
        record.orders_taken, record.returned != 0)


cdef int health_fill(HealthRecord *record, object state) except -1:
    """Make a record of a `HealthState`."""
    memset(record, 0, sizeof(record[0]))
    record.incarnation = state.incarnation
    record.generation = state.generation
    record.operational = state.operational
    record.status = state.status
    record.result = state.result
    record.check_state = state.check_state
    record.health = state.health
    record.code = state.code
    record.changed_ms = state.changed_ms
    record.duration_us = state.duration_us
    record.failures = state.failures
    record.downs = state.downs
    record.orders_taken = state.orders_taken
    record.returned = state.returned
    record.downtime_ms = state.downtime_ms
    record.checked_ms = state.checked_ms
    return 0


cdef class SlotTableReader:
    """Reads any record of any slot. Any process, any number of readers.

    Raises IndexError for a slot that does not exist, BlockingIOError when a record changed on each
    of many tries (the caller keeps what it had).
    """

    def __init__(self, Segment segment):
        self.segment = segment

    def __len__(self) -> int:
        return self.segment.view.header.slots

    cdef int check(self, uint32_t slot) except -1:
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        return 0

    def slot(self, uint32_t slot):
        """The slot record, as a `SlotState`."""
        cdef SlotRecord record
        self.check(slot)
        if not latch_read(&self.segment.view.slots[slot], &record):
            raise BlockingIOError(f"slot record {slot} does not hold still")
        return SlotState(
            record.generation, record.incarnation, record.family,
            address_text(record.family, record.address), record.port,
            <int>record.weight_plus_one - 1, record.flags, record.cause, record.changed_ms)

    def admin(self, uint32_t slot):
        """The admin record, as an `AdminState`."""
        cdef AdminRecord record
        self.check(slot)
        if not latch_read(&self.segment.view.admins[slot], &record):
            raise BlockingIOError(f"admin record {slot} does not hold still")
        return admin_state(&record)

    def administration(self, uint32_t slot):
        """What operator and agent together ordered, the last word of each kind: an `AdminState`."""
        cdef AdminRecord record
        self.check(slot)
        if not admin_read(&self.segment.view, slot, &record):
            raise BlockingIOError(f"admin record {slot} does not hold still")
        return admin_state(&record)

    def health(self, uint32_t slot):
        """The health record, as a `HealthState`; it is void unless `incarnation` is the slot's."""
        cdef HealthRecord record
        self.check(slot)
        if not latch_read(&self.segment.view.health[slot], &record):
            raise BlockingIOError(f"health record {slot} does not hold still")
        return health_state(&record)

    def static(self, uint32_t slot):
        """The settings of the configuration, as a `StaticState`."""
        self.check(slot)
        cdef dict fields = self.segment.view.statics[slot]
        tracked, agent = fields.pop("tracked_plus_one") - 1, fields.pop("agent_plus_one") - 1
        del fields["column"]  # no setting: the supervisor gives it (columns.pyx)
        return StaticState(**fields, tracked=tracked, agent=agent)

    def server(self, uint32_t slot):
        """The state composed of the records (eligibility.pxd), as a `ServerState`."""
        cdef ServerView server
        self.check(slot)
        if not server_view(&self.segment.view, slot, &server):
            raise BlockingIOError(f"the records of slot {slot} do not hold still")
        return ServerState(
            server.generation, server.incarnation, server.weight,
            address_text(server.family, server.address), server.port, server.operational,
            bool(server.eligible), bool(server.backup), bool(server.maint), bool(server.drain),
            bool(server.check_off), server.health_order, server.health_orders,
            server.maxconn, server.warm_from_ms, server.goings)

    def stand(self, uint32_t slot):
        """How a server stands: operational state, HAProxy's administrative state, weight, backup.

        The second has FMAINT for whatever maintenance was ordered, and RMAINT only without another.
        """
        cdef ServerView server, tracked
        cdef AdminRecord record
        cdef View *view = &self.segment.view
        cdef uint32_t admin = 0
        self.check(slot)
        cdef uint32_t follows = view.statics[slot].tracked_plus_one
        tracked.maint = tracked.drain = False
        if not (server_view(view, slot, &server) and admin_read(view, slot, &record)) or (
                follows != 0 and not server_view(view, follows - 1, &tracked)):
            raise BlockingIOError(f"the records of slot {slot} do not hold still")
        admin |= ADMIN_FMAINT if record.flags & ADMIN_MASK_MAINT else 0
        admin |= ADMIN_FDRAIN if record.flags & ADMIN_MASK_DRAIN else 0
        admin |= STAND_IMAINT if tracked.maint else 0
        admin |= STAND_IDRAIN if tracked.drain else 0
        if server.maint and not admin & (ADMIN_FMAINT | STAND_IMAINT):
            admin |= SLOT_RMAINT
        return server.operational, admin, server.weight > 0, bool(server.backup)

    def eligible(self, uint32_t backend) -> int:
        """How many servers of a backend take sessions at the moment."""
        cdef ServerView server
        cdef uint32_t slot, found = 0
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        cdef uint32_t first = self.segment.view.backends[backend].first_slot
        for slot in range(first, first + self.segment.view.backends[backend].slots):
            if server_view(&self.segment.view, slot, &server) and server.eligible:
                found += 1
        return found

    def usable(self, uint32_t backend):
        """How many active servers and how many backups of a backend take sessions now."""
        cdef ServerView server
        cdef uint32_t slot, active = 0, backup = 0
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        cdef uint32_t first = self.segment.view.backends[backend].first_slot
        for slot in range(first, first + self.segment.view.backends[backend].slots):
            if server_view(&self.segment.view, slot, &server) and server.eligible:
                active += not server.backup
                backup += server.backup
        return active, backup

    def hint(self, uint32_t slot) -> int:
        """Sessions open to the slot over all workers: approximate, the rows are exact."""
        self.check(slot)
        return <int64_t>load_acquire(<uint64_t *>&self.segment.view.hints[slot])

    def revision(self, uint32_t slot) -> int:
        """A number that grows with each publication of the slot or admin record."""
        self.check(slot)
        return slot_revision(&self.segment.view, slot)

    def backend_generation(self, uint32_t backend) -> int:
        """The shared word that each change of a slot of this backend bumps."""
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        return load_acquire(&self.segment.view.backends[backend].generation)


cdef class SlotTableWriter:
    """Writes slot records: resolverd only; the supervisor before the first fork."""

    cdef Segment segment
    cdef SlotTableReader reader

    def __init__(self, Segment segment):
        self.segment = segment
        self.reader = SlotTableReader(segment)
        announce_all(segment)

    def place(self, uint32_t slot, settings) -> None:
        """Write the settings of a slot (a `StaticState`); before the first fork."""
        self.reader.check(slot)
        if settings.agent >= self.segment.shape.agents:
            raise IndexError(f"agent {settings.agent} of {self.segment.shape.agents}")
        cdef SlotStatic *target = &self.segment.view.statics[slot]
        target[0] = {
            "tracked_plus_one": settings.tracked + 1, "agent_plus_one": settings.agent + 1,
            "column": target.column, **settings._asdict()}
        if settings.tracked >= 0:
            self.segment.trackers.setdefault(settings.tracked, []).append(slot)
        if settings.maxconn != 0 or settings.agent >= 0:  # which may give it a maxconn
            store_relaxed(&self.segment.view.backends[settings.backend].limited, 1)

    def lay_backend(
            self, uint32_t backend, uint32_t first_slot, uint32_t slots, uint32_t spare=0) -> None:
        """Write the range of a backend's slots, spare ones behind them; before the first fork."""
        cdef uint32_t slot
        if backend >= self.segment.view.header.backends:
            raise IndexError(f"backend {backend} of {self.segment.view.header.backends}")
        self.segment.view.backends[backend].first_slot = first_slot
        self.segment.view.backends[backend].slots = slots
        self.segment.view.backends[backend].room = slots + spare
        for slot in range(first_slot + slots, first_slot + slots + spare):
            self.reader.check(slot)
            self.segment.view.statics[slot].backend = backend

    def publish(
            self, uint32_t slot, object address, uint16_t port, *, int32_t weight=-1,
            int cause=0, uint8_t flags=0, int64_t now_ms) -> bool:
        """Publish a server's address as one record; False if it is equal to the present one.

        `address` is numeric text or None (then the slot is never eligible). The generation grows
        with a change of address or port, the incarnation when an address comes after none;
        `changed_ms` becomes `now_ms` only when an address comes after none, or is lost.
        """
        cdef SlotRecord record, former
        self.reader.check(slot)
        if not latch_read(&self.segment.view.slots[slot], &former):
            raise BlockingIOError(f"slot record {slot} has a second writer")
        memset(&record, 0, sizeof(record))
        record.family = address_bytes(address, record.address)
        record.port = port
        record.weight_plus_one = weight + 1
        record.flags = flags
        record.cause = cause
        record.changed_ms = now_ms
        record.generation = former.generation
        record.incarnation = former.incarnation
        moved = (
            record.family != former.family or record.port != former.port
            or record.address[:16] != former.address[:16])
        if moved:
            record.generation += 1
            if record.family != 0 and former.family == 0:
                record.incarnation += 1
        elif record.weight_plus_one == former.weight_plus_one and record.flags == former.flags and (
                record.cause == former.cause):
            return False
        # as HAProxy's last_change: another address is no change of state
        if (record.family == 0) == (former.family == 0):
            record.changed_ms = former.changed_ms
        latch_write(&self.segment.view.slots[slot], &record)
        announce(self.segment, slot)
        return True

    def carry(self, uint32_t slot, state) -> None:
        """Write the record of a former segment (a `SlotState`); before the first fork."""
        cdef SlotRecord record
        self.reader.check(slot)
        memset(&record, 0, sizeof(record))
        record.generation = state.generation
        record.incarnation = state.incarnation
        record.family = address_bytes(state.address, record.address)
        record.port = state.port
        record.weight_plus_one = state.weight + 1
        record.flags = state.flags
        record.cause = state.cause
        record.changed_ms = state.changed_ms
        latch_write(&self.segment.view.slots[slot], &record)
        announce(self.segment, slot)


cdef bint away_with_agent(
        const View *view, uint32_t slot, AdminRecord admin, const AgentOrder *ordered) noexcept:
    """Whether orders (NULL: those in force) and the agent take the server out of service."""
    cdef uint32_t agent = view.statics[slot].agent_plus_one
    cdef AgentRecord said
    cdef AgentOrder present
    if agent != 0 and agent_read(&view.agents[agent - 1].said, &said) and (
            agent_read(&view.agents[agent - 1].ordered, &present)):
        admin_compose(&admin, &said, &present if ordered == NULL else ordered)
    return ordered_away(&admin)


cdef class AdminTableWriter:
    """Writes admin records: control only; the supervisor before the first fork."""

    cdef Segment segment
    cdef SlotTableReader reader

    def __init__(self, Segment segment):
        self.segment = segment
        self.reader = SlotTableReader(segment)
        announce_all(segment)

    def publish(self, uint32_t slot, state, orders=None) -> None:
        """Publish an `AdminState`; read the former one and replace the changed fields.

        `orders`: an `AgentOrders` for the agent of the slot, in force with it.
        """
        cdef AdminRecord record
        cdef AdminRecord former  # its own: no writer is beside it
        cdef bint away, goes
        self.reader.check(slot)
        latch_read(&self.segment.view.admins[slot], &former)
        cdef AgentOrder ordered
        if orders is not None:
            order_fill(&ordered, orders)
        away = away_with_agent(&self.segment.view, slot, former, NULL)
        memset(&record, 0, sizeof(record))
        record.flags = state.flags
        record.weight_plus_one = state.weight + 1
        record.family = address_bytes(state.address, record.address)
        record.port = state.port
        record.override_generation = state.override_generation
        record.changed_ms = state.changed_ms
        record.health_order = state.health_order
        record.health_orders = state.health_orders
        record.health_incarnation = state.health_incarnation
        record.returned = state.returned
        goes = away_with_agent(
            &self.segment.view, slot, record, NULL if orders is None else &ordered)
        record.comings = former.comings + (away and not goes)
        record.goings = former.goings + (goes and not away)
        record.maxconn_plus_one = state.maxconn + 1
        if state.maxconn > 0:
            store_relaxed(
                &self.segment.view.backends[self.segment.view.statics[slot].backend].limited, 1)
        latch_write(&self.segment.view.admins[slot], &record)
        if orders is not None:
            agent_write(&agent_of(self.segment, slot).ordered, &ordered)
        announce(self.segment, slot)


cdef class HealthTableWriter:
    """Writes health records: the worker that checks the slot; the supervisor before forks."""

    def __init__(self, Segment segment):
        self.segment = segment
        self.reader = SlotTableReader(segment)
        announce_all(segment)

    def publish(self, uint32_t slot, state, *, bint changed) -> None:
        """Publish a `HealthState`; `changed`: the slot's eligibility may have changed."""
        cdef HealthRecord record
        health_fill(&record, state)
        self.put(slot, &record, changed)

    cdef int put(self, uint32_t slot, const HealthRecord *record, bint changed) except -1:
        """Publish a record; `changed` as above."""
        self.reader.check(slot)
        latch_write(&self.segment.view.health[slot], record)
        if changed:
            announce(self.segment, slot)
        return 0
