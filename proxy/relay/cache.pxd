# A server's records as the relay last decoded them: one view a slot, as new as a generation.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.types cimport Engine, ServerCache
from shm.atomics cimport count
from shm.eligibility cimport ServerView, server_view


cdef inline const ServerView *server_cached(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """The view of a slot, as new as `generation`; the former one if it does not hold still."""
    cdef ServerCache *cache = &engine.servers[slot]
    cdef ServerView fresh
    if cache.generation == generation + 1:
        return &cache.view
    if server_view(&engine.view, slot, &fresh):
        cache.view = fresh
        cache.generation = generation + 1
        count(&engine.counters.slot_refreshes, 1)
    return &cache.view
