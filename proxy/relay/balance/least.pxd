# leastconn: the server with the fewest sessions for its weight, over all workers.
#
# The hints say how many sessions each slot has. Looking at all of them for each session would take
# longer than the session from some thousand servers on, so a worker remembers the lowest load of
# each block of 64, and looks again only at blocks whose word says that a hint has changed: a few
# for each pick. As in HAProxy an idle server comes before all others, whatever its weight; among
# equals the next one after the last picked has its turn.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.relay.balance.bit_tree cimport NO_POSITION
from proxy.relay.balance.rota cimport rota_only, rota_weight
from proxy.relay.state.server_types cimport LeastBlock
from proxy.relay.state.types cimport NO_SLOT, Backend, Engine
from shm.atomics cimport count, load_acquire, load_relaxed
from shm.layout cimport HINT_BLOCK_SLOTS

cdef enum:
    LOAD_NONE = 1073741824  # above any load: of a slot that is no member


cdef inline double load_of(
        const Engine *engine, const Backend *backend, uint32_t slot) noexcept nogil:
    """Sessions for the weight, one more than there are; equal fractions are equal numbers.

    Of weights only shares matter.
    """
    cdef uint32_t weight = rota_weight(backend.rota, slot - backend.first_slot)
    cdef int64_t sessions = <int64_t>load_relaxed(<uint64_t *>&engine.view.hints[slot])
    if weight == 0:
        return LOAD_NONE
    if sessions <= 0:
        return 0
    return <double>(sessions + 1) / weight


cdef inline uint32_t blocks_of(const Backend *backend, uint32_t slots) noexcept nogil:
    """How many blocks of hints the backend's first slots are in; at least one."""
    cdef uint32_t last = backend.first_slot + slots - 1
    return last // HINT_BLOCK_SLOTS - backend.first_slot // HINT_BLOCK_SLOTS + 1


cdef inline void blocks_forget(Backend *backend) noexcept nogil:
    """Active servers take turns with backups: nothing is known of the blocks any more."""
    cdef uint32_t block
    if backend.blocks != NULL and backend.slots != 0:
        for block in range(blocks_of(backend, backend.slots)):
            backend.blocks[block].changes = 0


cdef inline void block_forget(Backend *backend, uint32_t slot) noexcept nogil:
    """A server may have another weight: nothing is known of its block any more."""
    backend.blocks[
        slot // HINT_BLOCK_SLOTS - backend.first_slot // HINT_BLOCK_SLOTS].changes = 0


cdef inline double blocks_look(Engine *engine, Backend *backend) noexcept nogil:
    """Look at the blocks that changed; the lowest load of all."""
    cdef uint32_t first_block = backend.first_slot // HINT_BLOCK_SLOTS
    cdef uint32_t end = backend.first_slot + backend.slots
    cdef uint32_t block, slot, low
    cdef uint64_t changes
    cdef LeastBlock *known
    cdef double load
    cdef double least = LOAD_NONE
    for block in range(blocks_of(backend, backend.slots)):
        known = &backend.blocks[block]
        changes = load_acquire(&engine.view.hint_changes[first_block + block]) + 1
        if known.changes != changes:
            known.changes = changes
            known.least = LOAD_NONE
            low = (first_block + block) * HINT_BLOCK_SLOTS
            for slot in range(max(low, backend.first_slot), min(low + HINT_BLOCK_SLOTS, end)):
                load = load_of(engine, backend, slot)
                if load < known.least:
                    known.least = load
            count(&engine.counters.pick_looks, HINT_BLOCK_SLOTS)
        if known.least < least:
            least = known.least
    count(&engine.counters.pick_looks, blocks_of(backend, backend.slots))
    return least


cdef inline uint32_t find_load(
        Engine *engine, Backend *backend, uint32_t start, uint32_t end,
        double wanted) noexcept nogil:
    """The first slot from `start` to before `end` that has this load; NO_SLOT: none."""
    cdef uint32_t first_block = backend.first_slot // HINT_BLOCK_SLOTS
    cdef uint32_t slot = start
    while slot < end:
        count(&engine.counters.pick_looks, 1)
        if backend.blocks[slot // HINT_BLOCK_SLOTS - first_block].least > wanted:
            slot = (slot // HINT_BLOCK_SLOTS + 1) * HINT_BLOCK_SLOTS
            continue
        if load_of(engine, backend, slot) == wanted:
            return slot
        slot += 1
    return NO_SLOT


cdef inline uint32_t least_loaded(
        Engine *engine, Backend *backend, uint32_t start) noexcept nogil:
    """The least loaded member, from the slot `start` on; NO_SLOT when loads changed meanwhile."""
    cdef uint32_t end = backend.first_slot + backend.slots
    cdef uint32_t found = rota_only(backend.rota)
    cdef double least
    if found != NO_POSITION:
        return backend.first_slot + found
    least = blocks_look(engine, backend)
    if least >= LOAD_NONE:
        return NO_SLOT
    found = find_load(engine, backend, start, end, least)
    if found == NO_SLOT:
        found = find_load(engine, backend, backend.first_slot, start, least)
    return found
