# The two-copy latch: a record wider than a word, published whole by one writer to any readers.
#
# The low bit of `sequence` names the copy that readers take. The writer fills the other copy
# completely and then bumps the sequence, so a writer stopped or killed at any instruction leaves
# the readers' copy unchanged: readers neither wait nor see a partial record, and the next writer
# needs no repair, because it fills the hidden copy from the first word to the last.
#
# Order (the same on arm64): the writer's last store of the sequence is followed by a release fence
# before it writes to the copy that slow readers may still read; the next sequence is stored with
# release after the data. The reader loads the sequence with acquire, copies relaxed, fences, and
# loads the sequence again.

from libc.stdint cimport uint64_t

from shm.atomics cimport (
    fence_acquire, fence_release, load_acquire, load_relaxed, store_relaxed, store_release)
from shm.records cimport AGENT_WORDS, NAME_WORDS, RECORD_WORDS, AgentLatch, Latch, NameLatch

cdef enum:
    LATCH_TRIES = 64  # a writer would have to publish 64 times while 7 words are copied


cdef inline bint copies_read(
        const uint64_t *shared, const uint64_t *copies, int words, void *record) noexcept nogil:
    """Copy a record of `words` words out; False after LATCH_TRIES collisions."""
    cdef uint64_t *target = <uint64_t *>record
    cdef const uint64_t *source
    cdef uint64_t sequence
    cdef int attempt, word
    for attempt in range(LATCH_TRIES):
        sequence = load_acquire(shared)
        source = &copies[(sequence & 1) * words]
        for word in range(words):
            target[word] = load_relaxed(&source[word])
        fence_acquire()
        if load_relaxed(shared) == sequence:
            return True
    return False


cdef inline void copies_write(
        uint64_t *shared, uint64_t *copies, int words, const void *record) noexcept nogil:
    """Fill the hidden copy, then make it the readers' copy."""
    cdef const uint64_t *source = <const uint64_t *>record
    cdef uint64_t sequence = load_relaxed(shared)
    cdef int hidden = 1 - <int>(sequence & 1)
    cdef int word
    fence_release()
    for word in range(words):
        store_relaxed(&copies[hidden * words + word], source[word])
    store_release(shared, sequence + 1)


cdef inline bint latch_read(const Latch *latch, void *record) noexcept nogil:
    """Copy the record out; False after LATCH_TRIES collisions: then keep the former copy."""
    return copies_read(&latch.sequence, latch.copies, RECORD_WORDS, record)


cdef inline void latch_write(Latch *latch, const void *record) noexcept nogil:
    """Publish a record. Precondition: the caller is the one writing process (see locks.py)."""
    copies_write(&latch.sequence, latch.copies, RECORD_WORDS, record)


cdef inline bint agent_read(const AgentLatch *latch, void *record) noexcept nogil:
    """`latch_read` for a record of an agent."""
    return copies_read(&latch.sequence, latch.copies, AGENT_WORDS, record)


cdef inline void agent_write(AgentLatch *latch, const void *record) noexcept nogil:
    """`latch_write` for a record of an agent."""
    copies_write(&latch.sequence, latch.copies, AGENT_WORDS, record)


cdef inline bint name_read(const NameLatch *latch, void *record) noexcept nogil:
    """`latch_read` for a name."""
    return copies_read(&latch.sequence, latch.copies, NAME_WORDS, record)


cdef inline void name_write(NameLatch *latch, const void *record) noexcept nogil:
    """`latch_write` for a name."""
    copies_write(&latch.sequence, latch.copies, NAME_WORDS, record)
