# Places that a worker takes ahead: so that it need not look at all workers for each client.
#
# While a limit is far, a worker raises a second word of its row, `reserved`, above its sessions by
# some places, in the way in which it takes one: it raises it, fences, and adds up all rows, each
# with the larger of the two words; over the limit it takes all of them back. As long as its
# sessions are not more than that, it accepts without a look at another row. The fewer places are
# left the fewer it takes ahead, and none where each worker could not have some.
#
# Where a listener is stopped nobody may keep a place that it does not use. Who stops one rings all
# that do; who ends a session looks, behind a fence, whether somebody waits, and gives its own back
# then. A row is read `reserved` first: what is given back was used before, or is free.
#
# A worker that is killed has its words zeroed as its sessions are; one that is stopped keeps what
# it took ahead until it is killed.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.syscalls cimport ring_bell
from proxy.relay.state.types cimport LIMIT_PLACES, Engine, Limit
from shm.atomics cimport fetch_add, load_acquire, load_relaxed, store_release
from shm.layout cimport Waited

cdef enum:
    AHEAD_LEAST = 4  # places: with fewer a worker looks for each client
    AHEAD_MOST = 64


cdef inline uint64_t *word_of_row(Engine *engine, uint32_t row, uint64_t bytes) noexcept nogil:
    return <uint64_t *>(engine.view.rows + row * engine.view.header.row_bytes + bytes)


cdef inline uint64_t places_of_row(
        Engine *engine, const Limit *limit, uint32_t row) noexcept nogil:
    """How many places of a limit a worker uses, or may use without a look at others."""
    cdef uint64_t reserved = load_acquire(word_of_row(engine, row, limit.reserved))
    return max(reserved, load_relaxed(word_of_row(engine, row, limit.counted)))


cdef inline bint limit_waited(const Engine *engine, const Limit *limit) noexcept nogil:
    """Whether a worker may have a listener that the limit stops."""
    cdef uint32_t word
    for word in range((engine.workers + 63) // 64):
        if load_acquire(&limit.waited.workers[word]) != 0:
            return True
    return False


cdef inline bint ahead_covers(Engine *engine, const Limit *limit) noexcept nogil:
    """Whether the session that is counted already has a place that was taken ahead."""
    return load_relaxed(word_of_row(engine, engine.worker, limit.counted)) <= (
        load_relaxed(word_of_row(engine, engine.worker, limit.reserved))
    ) and not limit_waited(engine, limit)


cdef inline void ahead_take(Engine *engine, Limit *limit) noexcept nogil:
    """Take places ahead, beside that of the session which is counted; a sum follows, fenced."""
    store_release(
        word_of_row(engine, engine.worker, limit.reserved),
        load_relaxed(word_of_row(engine, engine.worker, limit.counted)) + limit.ahead)
    if not limit.reserving:
        limit.reserving = True
        limit.next_reserving = engine.reserving
        engine.reserving = limit


cdef inline void ahead_give(Engine *engine, Limit *limit) noexcept nogil:
    """Keep the places that are in use, and no others; whoever waits is told later."""
    store_release(word_of_row(engine, engine.worker, limit.reserved), 0)


cdef inline void ahead_learn(Engine *engine, Limit *limit, uint64_t total) noexcept nogil:
    """How many may be taken ahead the next time, by how many are left."""
    cdef uint64_t left = limit.most - total
    cdef uint64_t ahead = min(left // (2 * engine.workers), <uint64_t>AHEAD_MOST)
    limit.ahead = 0 if ahead < AHEAD_LEAST or engine.workers == 1 else <uint32_t>ahead


cdef inline void ahead_trim(Engine *engine, Limit *limit) noexcept nogil:
    """Sessions have ended: keep no more than twice what is taken at once."""
    cdef uint64_t used
    if limit.kind != LIMIT_PLACES:
        return
    used = load_relaxed(word_of_row(engine, engine.worker, limit.counted))
    if load_relaxed(word_of_row(engine, engine.worker, limit.reserved)) > used + 2 * AHEAD_MOST:
        store_release(word_of_row(engine, engine.worker, limit.reserved), used + AHEAD_MOST)


cdef inline bint ahead_wanted(Engine *engine, Limit *limit) noexcept nogil:
    """Give back what was taken ahead, if somebody waits; True: it was, and wants a fence."""
    if limit.kind != LIMIT_PLACES or not limit_waited(engine, limit) or (
            load_relaxed(word_of_row(engine, engine.worker, limit.reserved)) == 0):
        return False
    ahead_give(engine, limit)
    return True


cdef inline void ahead_ask(Engine *engine, const Limit *limit) noexcept nogil:
    """A listener stays stopped: ring all workers that have places which they do not use."""
    cdef bint asked = False
    cdef uint32_t row
    for row in range(engine.workers):
        if row == engine.worker or load_acquire(word_of_row(engine, row, limit.reserved)) <= (
                load_relaxed(word_of_row(engine, row, limit.counted))):
            continue
        if not asked:
            fetch_add(&engine.view.frontends_shared.ahead_asked, 1)
            asked = True
        ring_bell(engine.relay_bells[row])
