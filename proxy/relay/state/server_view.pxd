# A server's records as the relay last decoded them: one view a slot, as new as a generation.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from proxy.relay.state.server_types cimport ServerCache
from proxy.relay.state.types cimport STANDING_ALL, STANDING_AWAY, STANDING_NAMED, Engine
from shm.atomics cimport count, load32_acquire
from shm.eligibility cimport ServerView, server_view, server_withhold
from shm.gauges cimport TAG_BITS
from shm.records cimport SERVER_STOPPED, SERVER_STOPPING, STATIC_PORT_RELATIVE


cdef inline uint32_t address_tag(const ServerView *server) noexcept nogil:
    """A number of an address and its port that another one has by a rare chance only; not 0.

    It follows from them alone, so it means the same in all workers of all generations.
    """
    cdef uint64_t number = <uint64_t>server.family << 16 | server.port
    cdef uint64_t half
    cdef uint32_t at
    for at in range(2):
        memcpy(&half, &server.address[8 * at], 8)
        number = (number ^ half) * <uint64_t>0x9E3779B97F4A7C15
        number ^= number >> 32
    return <uint32_t>(number >> (64 - TAG_BITS)) | 1


cdef inline bint server_decode(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """Read a slot's records, which are as new as `generation`; False if they do not hold still."""
    cdef ServerCache *cache = &engine.servers[slot]
    cdef ServerView fresh
    if not server_view(&engine.view, slot, &fresh):
        return False
    if engine.view.statics[slot].added != load32_acquire(&cache.filled):
        server_withhold(&fresh)
    cache.view = fresh
    cache.tag = address_tag(&fresh)
    cache.generation = generation + 1
    count(&engine.counters.slot_refreshes, 1)
    return True


cdef inline const ServerView *server_cached(
        Engine *engine, uint32_t slot, uint64_t generation) noexcept nogil:
    """The view of a slot, as new as `generation`; the former one if it does not hold still."""
    cdef ServerCache *cache = &engine.servers[slot]
    if cache.generation != generation + 1:
        server_decode(engine, slot, generation)
    return &cache.view


cdef inline int standing_of(const ServerView *server) noexcept nogil:
    """Whether a server is away, or drains. One without weight does neither, as in HAProxy."""
    if server.maint or server.operational == SERVER_STOPPED:
        return STANDING_AWAY
    if server.drain or server.operational == SERVER_STOPPING:
        return STANDING_NAMED
    return STANDING_ALL


cdef inline bint has_address(
        Engine *engine, uint32_t slot, const ServerView *server) noexcept nogil:
    """Whether there is something to connect to."""
    return server.family != 0 and (
        server.port != 0 or engine.view.statics[slot].flags & STATIC_PORT_RELATIVE != 0)
