"""The relay's small parts with handles for tests: timer wheel, object pool, schedule."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from proxy.relay.balance.bit_tree cimport NO_POSITION, tree_next
from proxy.relay.balance.ring cimport (
    key_at, nearer_before, node_at_or_after, node_before, nth_owner, position_at, ring_free,
    ring_make, ring_set, ring_shift)
from proxy.relay.balance.rota cimport (
    rota_entries, rota_free, rota_make, rota_members, rota_next, rota_set, rota_turn, rota_weight,
    rota_weight_before, rota_weight_total)
from proxy.relay.balance.schedule cimport schedule_build, schedule_free
from proxy.relay.balance.source_hash cimport NO_SOURCE, hash_address
from proxy.rules.coding.hashes cimport avalanche
from proxy.relay.proxy_protocol.format cimport (
    HEADER_KIND, HEADER_TLS, HEADER_V1, HEADER_V2, HEADER_V2_CHECKSUM)
from proxy.relay.proxy_protocol.read cimport header_read
from proxy.relay.proxy_protocol.write cimport HEADER_ROOM, HeaderTexts, header_write
from proxy.relay.state.pool cimport Pool, pool_give, pool_init, pool_take
from proxy.relay.state.server_types cimport Ring, Rota, Schedule
from proxy.relay.state.syscalls cimport (
    htons, ntohs, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage)
from proxy.relay.state.types cimport (
    SCHEDULE_MAP, SCHEDULE_ORDER, SCHEDULE_TURNS, Addresses)
from proxy.relay.state.wheel cimport (
    Timer, Wheel, wheel_advance, wheel_insert, wheel_next_ms, wheel_remove, wheel_start,
    wheel_take)
from shm.rates cimport rate_give, rate_now, rate_take
from shm.segment cimport Segment


cdef class WheelHandle:
    """Numbered timers in one wheel."""

    cdef Wheel wheel
    cdef Timer *timers

    def __init__(self, uint32_t timers, int64_t now_ms):
        self.timers = <Timer *>calloc(timers, sizeof(Timer))
        wheel_start(&self.wheel, now_ms)

    def insert(self, uint32_t number, int64_t due_ms):
        wheel_insert(&self.wheel, &self.timers[number], due_ms)

    def remove(self, uint32_t number):
        wheel_remove(&self.timers[number])

    def take(self, int64_t now_ms):
        """All that are due; what a former `take_some` has left comes first."""
        return self.take_some(now_ms, 1 << 30)

    def take_some(self, now_ms, most):
        cdef Timer *timer
        found = []
        for _ in range(2):
            wheel_advance(&self.wheel, now_ms)
            while len(found) < most:
                timer = wheel_take(&self.wheel)
                if timer == NULL:
                    break
                found.append(timer - self.timers)
        return found

    def next_ms(self):
        return wheel_next_ms(&self.wheel)

    def __dealloc__(self):
        free(self.timers)


cdef class PoolHandle:
    """Objects by address."""

    cdef Pool pool

    def __init__(self, uint32_t object_bytes):
        pool_init(&self.pool, object_bytes)

    def take(self):
        cdef unsigned char *found = <unsigned char *>pool_take(&self.pool)
        cdef uint32_t index
        for index in range(self.pool.object_bytes):
            if found[index] != 0:
                raise AssertionError("not zeroed")
            found[index] = 255
        return <uint64_t>found

    def give(self, uint64_t address):
        pool_give(&self.pool, <void *>address)

    @property
    def slabs(self):
        return self.pool.slabs


KINDS = {"turns": SCHEDULE_TURNS, "map": SCHEDULE_MAP, "order": SCHEDULE_ORDER}


def schedule_of(Segment segment, uint32_t backend=0, bint allbackups=False, kind="turns"):
    """The slots of a schedule: in the order of the turns, or of the ids."""
    cdef Schedule *schedule = schedule_build(&segment.view, backend, KINDS[kind], allbackups)
    cdef uint32_t index
    if kind == "order":
        found = [schedule.member_slots[index] for index in range(schedule.members)]
    else:
        found = [schedule.slots[index] for index in range(schedule.entries)]
    schedule_free(schedule)
    return found


cdef class RotaHandle:
    """A rota of so many servers, none of which has turns at first."""

    cdef Rota *rota

    def __init__(self, uint32_t positions, *, bint allbackups=False):
        self.rota = rota_make(positions, not allbackups)

    def set(self, uint32_t position, uint32_t weight, *, bint backup=False):
        """A server has this weight from now on."""
        return rota_set(self.rota, position, weight, backup)

    def round(self):
        """The positions whose turn it is, one after the other."""
        return [rota_turn(self.rota, turn) for turn in range(rota_entries(self.rota))]

    def turn(self, uint64_t ticket):
        """Whose turn one ticket is."""
        return rota_turn(self.rota, ticket % rota_entries(self.rota))

    @property
    def members(self):
        return rota_members(self.rota)

    def weight(self, uint32_t position):
        """The weight of a server that has turns."""
        return rota_weight(self.rota, position)

    @property
    def in_file(self):
        """The members in the order of the file, with the weight of those before each."""
        cdef uint32_t position = rota_next(self.rota, 0)
        found = []
        while position != NO_POSITION:
            found.append((position, rota_weight_before(self.rota, position)))
            position = rota_next(self.rota, position + 1)
        return found

    @property
    def total(self):
        """The weight of all members."""
        return rota_weight_total(self.rota)

    @property
    def classes(self):
        """How many weights its servers have, of active ones and of backups."""
        return self.rota.groups[0].count, self.rota.groups[1].count

    def __dealloc__(self):
        rota_free(self.rota)


def ring_shift_of(uint64_t configured, uint64_t total):
    """By how many bits weights are scaled down, in sixteenths: of the file, and at this time."""
    return ring_shift(configured, total)


cdef class RingHandle:
    """A ring for servers with these ids, none of which has nodes at first."""

    cdef Ring ring
    cdef object ids

    def __init__(self, ids, uint32_t shift=0):
        self.ids = list(ids)
        if not ring_make(&self.ring, len(self.ids)):
            raise MemoryError("ring")
        self.ring.shift = shift

    def set(self, uint32_t position, uint32_t weight, ident=None):
        """Give a server a weight in sixteenths; how many cells were looked at."""
        if ident is not None:
            self.ids[position] = ident
        return ring_set(&self.ring, position, self.ids[position], weight)

    @property
    def nodes(self):
        """Key and position of each node, in their order."""
        found = []
        cdef uint32_t cell = tree_next(&self.ring.taken, 0)
        while cell != NO_POSITION:
            found.append((key_at(&self.ring, cell), position_at(&self.ring, cell)))
            cell = tree_next(&self.ring.taken, cell + 1)
        return found

    @property
    def by_turn(self):
        """Whose each node is, found by its number."""
        return [nth_owner(&self.ring, turn) for turn in range(self.ring.taken.members)]

    def owners(self, keys):
        """Whose node is nearest to each key."""
        cdef uint32_t before, after, key
        found = []
        for key in keys:
            after = node_at_or_after(&self.ring, key)
            before = node_before(&self.ring, after)
            nearest = before if nearer_before(&self.ring, before, after, key) else after
            found.append(position_at(&self.ring, nearest))
        return found

    def __dealloc__(self):
        ring_free(&self.ring)


def avalanche_of(uint32_t value):
    """A number spread over 32 bits."""
    return avalanche(value)


def hash_of(family, packed):
    """The number of a client's address, given as its bytes; None for a client without one."""
    cdef sockaddr_storage address
    cdef sockaddr_in *address4 = <sockaddr_in *>&address
    cdef sockaddr_in6 *address6 = <sockaddr_in6 *>&address
    cdef bytes data = packed
    address.ss_family = family
    if len(data) == 4:
        memcpy(&address4.sin_addr, <const char *>data, 4)
    elif len(data) == 16:
        memcpy(&address6.sin6_addr, <const char *>data, 16)
    found = hash_address(<sockaddr *>&address)
    return None if found == NO_SOURCE else found


def rate_takes(Segment segment, uint64_t limit, int64_t now_ms):
    """The second in which one more session of frontend 0 is counted at this time; 0: none is."""
    cdef uint64_t where = 0
    rate_take(&segment.view.frontends_shared[1].passed[0], limit, now_ms, &where)
    return where


def rate_gives(Segment segment, uint64_t second):
    """What was counted in this second is taken back."""
    rate_give(&segment.view.frontends_shared[1].passed[0], second)


def rate_of(Segment segment, int64_t now_ms):
    """Sessions of the last second in frontend 0, over all workers."""
    return rate_now(&segment.view.frontends_shared[1].passed[0], now_ms)


HEADER_KINDS = {
    "v1": HEADER_V1, "v2": HEADER_V2, "v2 crc32c": HEADER_V2_CHECKSUM,
    "v2 ssl": HEADER_V2 | HEADER_TLS, "v2 ssl,crc32c": HEADER_V2_CHECKSUM | HEADER_TLS,
}


cdef tuple address_found(const sockaddr_in6 *address):
    cdef const sockaddr_in *address4 = <const sockaddr_in *>address
    if address.sin6_family == 0:
        return None
    if address.sin6_family == 2:
        packed = (<const unsigned char *>&address4.sin_addr)[:4]
    else:
        packed = address.sin6_addr.s6_addr[:16]
    return address.sin6_family, packed, ntohs(address.sin6_port)


cdef object address_fill(object wanted, sockaddr_in6 *address):
    cdef sockaddr_in *address4 = <sockaddr_in *>address
    if wanted is None:
        return
    family, packed, port = wanted
    cdef bytes data = packed
    address.sin6_family = family
    address.sin6_port = htons(port)
    if len(data) == 4:
        memcpy(&address4.sin_addr, <const char *>data, 4)
    elif len(data) == 16:
        memcpy(&address.sin6_addr, <const char *>data, 16)


def header_read_of(data):
    """What header_read says to these bytes (in memory of just their size), and the addresses."""
    cdef Addresses *addresses = <Addresses *>calloc(1, sizeof(Addresses))
    cdef int length = len(data)
    cdef unsigned char *memory = <unsigned char *>malloc(max(length, 1))
    memcpy(memory, <const char *><bytes>data, length)
    found = header_read(memory, length, addresses)
    result = found, address_found(&addresses.source), address_found(&addresses.destination)
    free(memory)
    free(addresses)
    return result


def header_written(kind, source, destination):
    """The header of this kind for two addresses, each None or (family, packed, port)."""
    cdef Addresses *addresses = <Addresses *>calloc(1, sizeof(Addresses))
    cdef char *memory = <char *>malloc(HEADER_ROOM)
    cdef HeaderTexts texts
    texts.authority = texts.unique_id = NULL
    address_fill(source, &addresses.source)
    address_fill(destination, &addresses.destination)
    texts.tls = HEADER_KINDS[kind] & HEADER_TLS != 0
    length = header_write(memory, HEADER_KINDS[kind] & HEADER_KIND, addresses, &texts)
    result = memory[:length]
    free(memory)
    free(addresses)
    return result
