# The state of a server, composed of the records of its slot (static, slot, admin, health, and what
# its agent has said): the same in every process.
#
# Pure functions over copies: each record is read from the segment once for one result.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from shm.latch cimport agent_read, latch_read
from shm.records cimport (
    ADMIN_CHECK_OFF, ADMIN_FDRAIN, ADMIN_FMAINT, ADMIN_MASK_DRAIN, ADMIN_MASK_MAINT,
    AGENT_WORD_DRAIN, AGENT_WORD_MAINT, HEALTH_ORDER_DOWN, HEALTH_ORDER_NONE,
    HEALTH_ORDER_STOPPING, SERVER_RUNNING, SERVER_STARTING, SERVER_STOPPED, SERVER_STOPPING,
    SLOT_BACKUP, SLOT_RMAINT, STATIC_BACKUP, STATIC_CHECKED, STATIC_DELETED,
    STATIC_INIT_DOWN, STATIC_PORT_RELATIVE, AdminRecord, AgentOrder, AgentRecord, HealthRecord,
    SlotRecord, SlotStatic)
from shm.segment cimport View

cdef enum:
    WARM_STEPS = 16  # parts of its weight, which a server gets one after the other in `slowstart`
    WARM_STEP_MS = 1000  # HAProxy counts whole seconds since the server came back

cdef enum:  # Cause, the value that decides something
    CAUSE_DNS = 4  # the address is from an answer

cdef struct ServerView:
    uint32_t generation
    uint32_t incarnation
    uint32_t weight  # effective, 0..256
    uint16_t port  # host order
    uint8_t family  # 0: no address
    uint8_t operational  # Operational, before administrative states
    uint8_t eligible  # takes new sessions
    uint8_t backup
    uint8_t maint  # forced, configured, or without an address
    uint8_t drain
    uint8_t check_off  # no health checks, by order
    uint8_t health_order  # HealthOrder, of this incarnation
    uint32_t health_orders  # given so far, of any incarnation
    uint32_t maxconn  # over all workers; 0: no limit
    uint8_t address[16]
    int64_t warm_from_ms  # when a server with `slowstart` came back; 0: it is warm since its start
    uint8_t comings  # orders that brought it back, modulo 256: a late reader sees that there were
    uint8_t goings  # orders that took it away, likewise
    uint8_t downs  # checks that found it to be down, likewise


cdef inline uint32_t warmth(
        int64_t warm_from_ms, uint32_t slowstart_ms, int64_t now_ms) noexcept nogil:
    """The sixteenths of its weight that a server has now: 1 at first, 16 after `slowstart`."""
    cdef int64_t steps = (<int64_t>slowstart_ms + WARM_STEP_MS - 1) // WARM_STEP_MS
    cdef int64_t step = (now_ms - warm_from_ms) // WARM_STEP_MS
    if warm_from_ms == 0 or step >= steps:
        return WARM_STEPS
    return <uint32_t>min(<int64_t>WARM_STEPS, 1 + WARM_STEPS * max(step, <int64_t>0) // steps)


cdef inline uint64_t whole_weight(uint64_t sixteenths) noexcept nogil:
    """A weight in sixteenths as it is shown: what has begun counts as one."""
    return (sixteenths + WARM_STEPS - 1) // WARM_STEPS


cdef inline int64_t warm_since(
        const SlotStatic *settings, const SlotRecord *slot, const AdminRecord *admin,
        const HealthRecord *health) noexcept nogil:
    """When a server came back: from a failure, a stop, maintenance, or with an address by DNS.

    0 for a server since the start of the program: it does not warm up.
    """
    cdef int64_t since = admin.changed_ms if admin.returned else 0
    if settings.slowstart_ms == 0:
        return 0
    if slot.cause == CAUSE_DNS:
        since = max(since, slot.changed_ms)
    if health.incarnation == slot.incarnation and (health.downs != 0 or health.returned):
        since = max(since, health.changed_ms)
    return since


cdef inline bint ordered_away(const AdminRecord *admin) noexcept nogil:
    """Whether an order has taken the server out of service."""
    return (admin.flags & ADMIN_MASK_MAINT) != 0 or admin.health_order == HEALTH_ORDER_DOWN


cdef inline uint8_t operational_state(
        const SlotStatic *settings, const SlotRecord *slot, const HealthRecord *health,
        uint8_t health_order) noexcept nogil:
    """The state by the health record, if it is of this incarnation, else by `init-state`.

    A server without checks and without an agent has the state that the operator ordered; else the
    worker that checks it applies orders, and what the agent says, to the health record.
    """
    if not settings.flags & STATIC_CHECKED and settings.agent_plus_one == 0:
        if health_order == HEALTH_ORDER_DOWN:
            return SERVER_STOPPED
        return SERVER_STOPPING if health_order == HEALTH_ORDER_STOPPING else SERVER_RUNNING
    if health.incarnation == slot.incarnation and health.incarnation != 0:
        return health.operational
    return SERVER_STOPPED if settings.flags & STATIC_INIT_DOWN else SERVER_RUNNING


cdef inline void admin_compose(
        AdminRecord *admin, const AgentRecord *said, const AgentOrder *ordered) noexcept nogil:
    """Replace what the agent has said after the operator's last order about the same.

    The last word wins, as in HAProxy, where both set one field; the operator wins a tie.
    """
    if said.weight_ns > ordered.weight_ns:
        admin.weight_plus_one = said.weight_plus_one
    if said.maxconn_ns > ordered.maxconn_ns:
        admin.maxconn_plus_one = said.maxconn_plus_one
    if said.state_ns > ordered.state_ns:
        admin.flags &= ~<uint32_t>(ADMIN_MASK_MAINT | ADMIN_MASK_DRAIN)
        if said.word == AGENT_WORD_MAINT:
            admin.flags |= ADMIN_FMAINT
        elif said.word == AGENT_WORD_DRAIN:
            admin.flags |= ADMIN_FDRAIN
    if said.changed_ms > admin.changed_ms:
        admin.changed_ms = said.changed_ms
        admin.returned = said.returned
    admin.comings += said.comings
    admin.goings += said.goings


cdef inline bint admin_read(const View *view, uint32_t slot, AdminRecord *admin) noexcept nogil:
    """Read what operator and agent together ordered; False when it could not be read whole."""
    cdef uint32_t agent = view.statics[slot].agent_plus_one
    cdef AgentRecord said
    cdef AgentOrder ordered
    if agent == 0:
        return latch_read(&view.admins[slot], admin)
    # the operator's time is read before the order that it belongs to, which is written first
    if not agent_read(&view.agents[agent - 1].ordered, &ordered):
        return False
    if not latch_read(&view.admins[slot], admin):
        return False
    if not agent_read(&view.agents[agent - 1].said, &said):
        return False
    admin_compose(admin, &said, &ordered)
    return True


cdef inline void server_compose(
        const SlotStatic *settings, const SlotRecord *slot, const AdminRecord *admin,
        const HealthRecord *health, ServerView *server) noexcept nogil:
    """Fill `server` from the records of one slot; `admin` has what its agent said, too."""
    cdef bint overridden = admin.family != 0 and admin.override_generation == slot.generation
    cdef uint32_t weight = settings.weight
    if admin.weight_plus_one != 0:
        weight = admin.weight_plus_one - 1
    elif slot.weight_plus_one != 0:
        weight = slot.weight_plus_one - 1
    server.generation = slot.generation
    server.incarnation = slot.incarnation
    server.weight = weight
    server.family = admin.family if overridden else slot.family
    if overridden:
        memcpy(server.address, admin.address, 16)
    else:
        memcpy(server.address, slot.address, 16)
    if settings.added == STATIC_DELETED:
        server.family = 0
    server.port = admin.port if overridden and admin.port != 0 else slot.port
    server.backup = (
        (settings.flags & STATIC_BACKUP) != 0 or (slot.flags & SLOT_BACKUP) != 0)
    server.maint = (
        (admin.flags & ADMIN_MASK_MAINT) != 0
        or (slot.flags & SLOT_RMAINT) != 0
        or server.family == 0)
    server.drain = (admin.flags & ADMIN_MASK_DRAIN) != 0
    server.check_off = (admin.flags & ADMIN_CHECK_OFF) != 0
    server.health_orders = admin.health_orders
    server.maxconn = settings.maxconn
    if admin.maxconn_plus_one != 0:
        server.maxconn = admin.maxconn_plus_one - 1
    server.health_order = HEALTH_ORDER_NONE
    if admin.health_incarnation == slot.incarnation:
        server.health_order = admin.health_order
    server.operational = operational_state(settings, slot, health, server.health_order)
    server.warm_from_ms = warm_since(settings, slot, admin, health)
    server.comings = admin.comings
    server.goings = admin.goings
    server.downs = <uint8_t>health.downs
    server.eligible = (
        not server.maint and not server.drain and server.weight > 0
        and (server.port != 0 or (settings.flags & STATIC_PORT_RELATIVE) != 0)
        and (server.operational == SERVER_RUNNING or server.operational == SERVER_STARTING))


cdef inline void server_withhold(ServerView *server) noexcept nogil:
    """What a process does not know enough of yet takes no session, nor one that is sent there."""
    server.family = 0
    server.maint = True
    server.eligible = False


cdef inline void server_follow(
        const SlotStatic *settings, ServerView *server, const ServerView *tracked) noexcept nogil:
    """Apply the state, maintenance and drain of the tracked server.

    An agent of its own may have said that it is down; without one it has no state of its own.
    """
    if settings.agent_plus_one == 0 or server.operational != SERVER_STOPPED:
        server.operational = tracked.operational
    server.drain = server.drain or (tracked.drain and not tracked.maint)
    server.maint = server.maint or tracked.maint
    server.comings += tracked.comings
    server.goings += tracked.goings
    server.downs += tracked.downs
    server.eligible = (
        server.eligible and not server.maint and not server.drain
        and (server.operational == SERVER_RUNNING or server.operational == SERVER_STARTING))


cdef inline bint server_view(const View *view, uint32_t slot, ServerView *server) noexcept nogil:
    """Read a slot's records and compose them; False when a record could not be read whole."""
    cdef SlotRecord slot_record
    cdef AdminRecord admin
    cdef HealthRecord health
    cdef ServerView tracked  # the configuration has no loop of `track` (linking/tracking.py)
    if not latch_read(&view.slots[slot], &slot_record):
        return False
    if not admin_read(view, slot, &admin):
        return False
    if not latch_read(&view.health[slot], &health):
        return False
    server_compose(&view.statics[slot], &slot_record, &admin, &health, server)
    if view.statics[slot].tracked_plus_one == 0:
        return True
    if not server_view(view, view.statics[slot].tracked_plus_one - 1, &tracked):
        return False
    server_follow(&view.statics[slot], server, &tracked)
    return True
