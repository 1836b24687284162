# Blocks of servers that have no place left, as this worker last saw them.
#
# Where hardly a place is left, to look at every server for each session would take longer than the
# session. So a worker remembers of each block of neighbouring servers that none of them takes a
# session, and at which number of places that came free there (`place_freed` in shm/segment.pxd):
# while that is the same, the block is passed over. The number is read before the servers are. What
# else gives a server room is seen by other words: eligibility, limits and addresses by the table's
# generation, workers of other generations by the gauges' changes. A limit that moves by itself is
# never remembered, and nothing is while another generation has workers, which know no words of
# this one.
#
# A worker that is stopped after it gave a place back, and before it says so, leaves it unseen: so a
# sweep of the queues forgets all.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from proxy.relay.balance.least cimport blocks_of
from proxy.relay.balance.queue cimport place_free
from proxy.relay.state.server_types cimport FullBlock, FullBlocks
from proxy.relay.state.types cimport Backend, Engine
from shm.atomics cimport load_acquire, load_relaxed
from shm.eligibility cimport WARM_STEPS, ServerView, warmth
from shm.layout cimport PLACE_BLOCK_SLOTS


cdef inline bint full_trusted(
        Engine *engine, Backend *backend, uint64_t generation) noexcept nogil:
    """Whether the backend's blocks may be passed over, and remembered; forget what is old."""
    cdef FullBlocks *full = &backend.full
    cdef uint64_t gauges = load_acquire(&engine.view.gauges.changes)
    if full.blocks == NULL or load_relaxed(&engine.view.gauges.taken) != engine.workers:
        return False
    if full.generation != generation + 1 or full.gauges != gauges or full.sweeps != engine.sweeps:
        memset(full.blocks, 0, blocks_of(backend, backend.shared.room) * sizeof(FullBlock))
        full.generation = generation + 1
        full.gauges = gauges
        full.sweeps = engine.sweeps
    return True


cdef inline FullBlock *full_block(const Backend *backend, uint32_t slot) noexcept nogil:
    return &backend.full.blocks[
        slot // PLACE_BLOCK_SLOTS - backend.first_slot // PLACE_BLOCK_SLOTS]


cdef inline uint64_t places_seen(const Engine *engine, uint32_t slot) noexcept nogil:
    """What is remembered with the servers of a block: read it before them."""
    return load_acquire(&engine.view.place_changes[slot // PLACE_BLOCK_SLOTS]) + 1


cdef inline bint block_full(
        const Engine *engine, const Backend *backend, uint32_t slot) noexcept nogil:
    """Whether no server of a slot's block takes a session, where blocks are trusted."""
    return full_block(backend, slot).changes == places_seen(engine, slot)


cdef inline bint server_full(
        Engine *engine, uint32_t slot, const ServerView *server) noexcept nogil:
    """Whether a server has no place before one is given back: its limit does not move."""
    return server.maxconn != 0 and engine.limits[slot].minconn == 0 and (
        warmth(
            server.warm_from_ms, engine.view.statics[slot].slowstart_ms, engine.now_ms
        ) >= WARM_STEPS) and not place_free(engine, slot, server)
